"""Learns the weights of words that speak of minors: `python -m tests.unit.safety.learn_words`.

It reads the open lists, `lists/learnt` and what shipped personas say, and never the unread half. The
same lists give the same weights. It takes some seconds of one core.
"""

import json
import math
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from imagegen import resources
from imagegen.safety import topic_lexicon
from imagegen.safety.learnt_words import BIAS, features
from imagegen.safety.normalise import sentences
from imagegen.safety.notation import without_other_numbers
from imagegen.safety.readings import searchable_line
from imagegen.safety.unicode_text import visible
from imagegen.safety.word_senses import in_adult_senses
from imagegen.workflows.library import load_workflows

LISTS = Path(__file__).parent / "lists"
WEIGHTS = Path(__file__).parents[3] / "imagegen" / "safety" / "words" / "learnt.txt"
HEAD = "% Weights of words, pairs of words and topics; made by `python -m tests.unit.safety.learn_words`.\n"
EPOCHS, RATE, DECAY, SEED = 10, 0.3, 3e-3, 1
LEAST = 0.02

Example = tuple[list[str], int]


def examples() -> Iterator[Example]:
    """Yield the features of messages, and 1 for one that speaks of a minor, else 0.

    A mention or a dialog of several messages is left out if it is not known which of them makes it
    one.
    """
    for name, label in (("mentions", 1), ("harmless", 0)):
        for text in (LISTS / "learnt" / f"{name}.txt").read_text("utf-8").splitlines():
            yield features_of(text), label
    for text in (LISTS.parent / "harmless.txt").read_text("utf-8").splitlines():
        if text and text[0] not in "#~":
            yield features_of(text), 0
    for text in said_by_personas():
        yield features_of(text), 0
    for name in ("mentions", "harmless", "dialogs"):
        for path in (LISTS / f"{name}.jsonl", LISTS / "later" / f"{name}.jsonl"):
            for row in map(json.loads, path.read_text("utf-8").splitlines()):
                is_clear = name == "harmless" or row.get("expect") == "clear"
                if is_clear or len(row["messages"]) == 1:
                    yield from (
                        (features_of(said["text"]), 1 - is_clear) for said in row["messages"]
                    )


def said_by_personas() -> Iterator[str]:
    """Yield the captions of the shipped personas."""
    for workflow in load_workflows(resources.path("workflows")).workflows.values():
        yield from (*workflow.persona.captions.ru, *workflow.persona.captions.en)


def features_of(text: str) -> list[str]:
    """Return the features of all sentences of a text, as the screen reads them."""
    lexicon = topic_lexicon.shared()
    read = map(in_adult_senses, sentences(without_other_numbers(visible(text))))
    found = (features(each, {*lexicon.topics(searchable_line(each))}) for each in read)
    return sorted(frozenset[str]().union(*found))


def learn(lines: list[Example]) -> dict[str, float]:
    """Return the weights of a logistic regression, by AdaGrad; what comes once has none."""
    count = Counter(each for found, _ in lines for each in found)
    lines = [([each for each in found if count[each] > 1], label) for found, label in lines]
    weights: defaultdict[str, float] = defaultdict(float)
    squares: defaultdict[str, float] = defaultdict(lambda: 1e-8)
    chance = random.Random(SEED)
    for _ in range(EPOCHS):
        chance.shuffle(lines)
        for found, label in lines:
            scale = 1 / math.sqrt(max(1, len(found)))
            score = weights[BIAS] + scale * sum(weights[each] for each in found)
            error = 1 / (1 + math.exp(-max(-30, min(30, score)))) - label
            for each in found:
                slope = error * scale + DECAY * weights[each]
                squares[each] += slope * slope
                weights[each] -= RATE * slope / math.sqrt(squares[each])
            squares[BIAS] += error * error
            weights[BIAS] -= RATE * error / math.sqrt(squares[BIAS])
    return weights


def main() -> None:
    """Write the file of weights."""
    weights = learn([*examples()])
    kept = {each: weight for each, weight in weights.items() if abs(weight) >= LEAST}
    lines = (f"{kept[each]:.2f} {each}\n" for each in sorted(kept))
    WEIGHTS.write_text(HEAD + "".join(lines), "utf-8")
    sys.stdout.write(f"{len(kept)} weights\n")


if __name__ == "__main__":
    main()
