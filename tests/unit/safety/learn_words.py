"""Learns the weights of words that speak of minors: `python -m tests.unit.safety.learn_words`.

It reads the open lists, `lists/learnt` and what shipped personas say, and never the unread half. The
same lists give the same weights. It takes two minutes of one core.
"""

import hashlib
import itertools
import json
import math
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import imagegen.safety
from imagegen import resources
from imagegen.safety.learnt_words import BIAS, answer_features
from imagegen.safety.screen import shared_screen
from imagegen.sandbox.demo.persona_bot import VOICES
from imagegen.workflows.library import load_workflows

LISTS = Path(__file__).parent / "lists"
SAFETY = Path(imagegen.safety.__file__).parent
WEIGHTS = SAFETY / "words" / "learnt.txt"
HEAD = "% Weights of words, pairs of words and topics; made by `python -m tests.unit.safety.learn_words`."
# The lower COST is, the nearer to 0 are the weights.
COST, ROUNDS, SEED = 0.3, 30, 1
LEAST_LINES, LEAST_WEIGHT = 3, 0.1
# In the dual problem, z of each line is between these shares of COST.
_FIRST, _NEAR_ZERO, _STEPS = 0.001, 0.1, 20

Example = tuple[AbstractSet[str], int]


def examples() -> Iterator[Example]:
    """Yield the features of messages, and 1 for one that speaks of a minor, else 0."""
    for text, label in itertools.chain(_written_lines(), _messages_of_lists()):
        yield features_of(text), label
    for question, answer, label in itertools.chain(_written_answers(), _answers_of_lists()):
        yield answer_features(features_of(question), features_of(answer)), label


def _written_lines() -> Iterator[tuple[str, int]]:
    for name, label in (("mentions", 1), ("harmless", 0)):
        for path in sorted((LISTS / "learnt").glob(f"*{name}.txt")):
            yield from ((text, label) for text in path.read_text("utf-8").splitlines())
    for name, label in (("mentions", 1), ("harmless", 0)):
        for text in (LISTS.parent / f"{name}.txt").read_text("utf-8").splitlines():
            if text and text[0] not in "#~":
                yield text, label
    yield from ((text, 0) for text in said_by_personas())


def _written_answers() -> Iterator[tuple[str, str, int]]:
    """Yield a question and its answer from each line, with a bar between them."""
    for name, label in (("mentions", 1), ("harmless", 0)):
        for path in sorted((LISTS / "learnt" / "answers").glob(f"*{name}.txt")):
            for line in path.read_text("utf-8").splitlines():
                question, answer = line.split(" | ")
                yield question, answer, label


def _answers_of_lists() -> Iterator[tuple[str, str, int]]:
    """Yield a message and the reply to it, from answers that mean a minor and from harmless talk."""
    for path in sorted((*LISTS.glob("*.jsonl"), *LISTS.glob("later/*.jsonl"))):
        for row in map(json.loads, path.read_text("utf-8").splitlines()):
            is_clear = path.stem == "harmless" or row.get("expect") == "clear"
            if is_clear or row.get("category") == "answer_to_question":
                for before, said in itertools.pairwise(row["messages"]):
                    if before["role"] != said["role"]:
                        yield before["text"], said["text"], 1 - is_clear


def _messages_of_lists() -> Iterator[tuple[str, int]]:
    """Yield the messages of the open lists.

    A mention or a dialog of several messages is left out if it is not known which of them makes it
    one.
    """
    for name in ("mentions", "harmless", "dialogs"):
        for path in (LISTS / f"{name}.jsonl", LISTS / "later" / f"{name}.jsonl"):
            for row in map(json.loads, path.read_text("utf-8").splitlines()):
                is_clear = name == "harmless" or row.get("expect") == "clear"
                if is_clear or len(row["messages"]) == 1:
                    yield from ((said["text"], 1 - is_clear) for said in row["messages"])


def said_by_personas() -> Iterator[str]:
    """Yield the captions of the shipped personas, and what they say in the demo."""
    for workflow in load_workflows(resources.path("workflows")).workflows.values():
        yield from (*workflow.persona.captions.ru, *workflow.persona.captions.en)
    for persona in VOICES.values():
        for voice in (persona["ru"], persona["en"]):
            yield from (voice["greeting"], *voice["lines"])


def features_of(text: str) -> frozenset[str]:
    """Return the features of all sentences of a text, as the screen reads them."""
    return frozenset[str]().union(*shared_screen().features(text))


def digest() -> str:
    """Return a hash of what the weights are learnt from: lists, lexicons, captions and this code."""
    paths = [
        *LISTS.glob("*.jsonl"),
        *LISTS.glob("later/*"),
        *LISTS.glob("learnt/**/*.txt"),
        LISTS.parent / "mentions.txt",
        LISTS.parent / "harmless.txt",
        *SAFETY.glob("lexicon/*.toml"),
        SAFETY / "learnt_words.py",
        Path(__file__),
    ]
    hashed = hashlib.sha256("\n".join(said_by_personas()).encode())
    for path in sorted(paths, key=lambda path: path.as_posix()):
        hashed.update(hashlib.sha256(path.read_bytes()).digest())
    return hashed.hexdigest()


def learn(lines: Sequence[Example]) -> dict[str, float]:
    """Return the weights of a logistic regression.

    Each feature is worth the logarithm of how rare it is, so that what is said seldom counts; what
    comes in one line has no weight. The dual problem is solved line by line, in a random order that
    is always the same (Yu, Huang, Lin: Dual coordinate descent methods for logistic regression and
    maximum entropy models, 2011); it has one solution, whatever the order.
    """
    count = Counter(each for found, _ in lines for each in found)
    known = sorted(each for each, times in count.items() if times >= LEAST_LINES)
    at = {each: index for index, each in enumerate((BIAS, *known))}
    worth = [1.0, *((math.log(len(lines) / count[each]) / 3) ** 2 for each in known)]
    rows = [sorted((0, *(at[each] for each in found if each in at))) for found, _ in lines]
    signs = [1 if label else -1 for _, label in lines]
    norms = [math.fsum(worth[each] for each in row) for row in rows]
    weights = [0.0] * len(at)
    duals = [_FIRST * COST] * len(rows)
    for row, sign, dual in zip(rows, signs, duals, strict=True):
        _add(weights, worth, row, sign * dual)
    chance = random.Random(SEED)
    order = [*range(len(rows))]
    for _ in range(ROUNDS):
        chance.shuffle(order)
        for line in order:
            margin = signs[line] * sum(map(weights.__getitem__, rows[line]))
            dual = _best_dual(duals[line], norms[line], margin)
            _add(weights, worth, rows[line], signs[line] * (dual - duals[line]))
            duals[line] = dual
    return dict(zip(at, weights, strict=True))


def _add(weights: list[float], worth: list[float], row: list[int], difference: float) -> None:
    for each in row:
        weights[each] += difference * worth[each]


def _best_dual(dual: float, norm: float, margin: float) -> float:
    """Return the z in (0, COST) at which z log z + (COST - z) log(COST - z) + norm/2 (z - dual)² + margin (z - dual) is least.

    It is searched for by Newton's method, from the end to which it is nearer.
    """
    is_high = norm * (COST / 2 - dual) + margin < 0
    start = COST - dual if is_high else dual
    slope_there = -margin if is_high else margin
    z = _NEAR_ZERO * start if start > COST / 2 else start
    for _ in range(_STEPS):
        slope = norm * (z - start) + slope_there + math.log(z / (COST - z))
        if abs(slope) < 1e-9:
            break
        lower = z - slope / (norm + COST / ((COST - z) * z))
        z = lower if lower > 0 else z * _NEAR_ZERO
    return COST - z if is_high else z


def main() -> None:
    """Write the file of weights."""
    weights = learn([*examples()])
    kept = {each: weight for each, weight in weights.items() if abs(weight) >= LEAST_WEIGHT}
    lines = (f"{kept[each]:.2f} {each}\n" for each in sorted(kept))
    WEIGHTS.write_text(f"{HEAD}\n% of {digest()}\n{''.join(lines)}", "utf-8")
    sys.stdout.write(f"{len(kept)} weights\n")


if __name__ == "__main__":
    main()
