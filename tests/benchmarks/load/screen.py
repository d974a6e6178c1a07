"""How many messages the screen looks at in a second on one core: `python -m tests.benchmarks.load.screen`.

Messages are twelve words drawn at random (seeded) from real Russian words and the words of the
harmless sentences. Cold: nothing was read before, so every word is new until it comes again. Warm:
other messages of the same words, so their forms are known and no message is. Longest: eight
messages of 4,096 characters each, of new words, of few words and of numbers, in milliseconds; what
takes too long counts as unread. The hook's look: harmless sentences in which it finds nothing.
"""

import random
import sys
import time
from collections.abc import Sequence

from pymorphy3 import MorphAnalyzer

from chatflow_hook.prefilter import needs_reading
from imagegen import morphology
from imagegen.safety.screen import Screen
from tests.unit.safety.test_screen import HARMLESS

MESSAGES, WORDS, SEED = 4_000, 12, 7
_EVERY = 151
_LONGEST = 4_096


def words() -> list[str]:
    """Give some 20,000 forms out of the dictionary, and as many English words as we have."""
    russian = [
        word
        for at, word in enumerate(MorphAnalyzer().dictionary.words.iterkeys(""))
        if at % _EVERY == 0
    ]
    own = sorted({word.strip(".,?!'") for line in HARMLESS for word in line.split()})
    return [*russian[:20_000], *own * 20]


def messages(known: Sequence[str], chance: random.Random, count: int) -> list[str]:
    """Make messages of several words each."""
    return [" ".join(chance.choices(known, k=WORDS)) for _ in range(count)]


def rate(screen: Screen, said: Sequence[str]) -> float:
    """Measure messages per second."""
    began = time.perf_counter()
    for text in said:
        screen.conversation(text)
    return len(said) / (time.perf_counter() - began)


def longest(screen: Screen, said: Sequence[str]) -> float:
    """Measure the milliseconds of CPU for the eight longest messages of Telegram with these words."""
    text = (" ".join(said) + " ") * (8 * _LONGEST // len(" ".join(said)) + 1)
    began = time.process_time()
    screen.conversation(*(text[at : at + _LONGEST] for at in range(0, 8 * _LONGEST, _LONGEST)))
    return 1_000 * (time.process_time() - began)


def look(said: Sequence[str]) -> float:
    """Measure the microseconds of CPU of the hook's look at a message in which it finds nothing."""
    began = time.process_time()
    for text in said:
        needs_reading(text)
    return 1e6 * (time.process_time() - began) / len(said)


def main() -> None:
    """Print all figures."""
    chance = random.Random(SEED)
    known, screen = words(), Screen()
    morphology.lemmas(
        "слово"
    )  # reading the dictionary's file is the start of a worker, not a message
    cold = rate(screen, messages(known, chance, MESSAGES))
    few = known[:: len(known) // 2_000]
    rate(screen, messages(few, chance, MESSAGES))
    warm = rate(screen, messages(few, chance, MESSAGES))
    sys.stdout.write(f"cold: {cold:,.0f} messages/s (distinct words: {len(set(known)):,})\n")
    sys.stdout.write(f"warm: {warm:,.0f} messages/s (words known, messages not)\n")
    plain = [text for text in HARMLESS if not needs_reading(text)]
    sys.stdout.write(f"the hook's look: {look(plain):.0f} µs a message\n")
    numbers = [f"{chance.choice(few)} {number}" for number in range(10, 30)]
    for name, said in (("new", known[7::3]), ("few", few[:200]), ("numbers", numbers)):
        sys.stdout.write(f"longest, {name}: {longest(screen, said):.0f} ms\n")


if __name__ == "__main__":
    main()
