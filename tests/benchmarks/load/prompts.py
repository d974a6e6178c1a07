"""How many prompts the template builder writes a second, on one core.

`python -m tests.benchmarks.load.prompts` prints it. No test: a busy machine proves nothing.
"""

import random
import time
from collections.abc import Sequence
from itertools import islice

import click

from chatflow_hook.turn import Conversation, Message, Rating
from imagegen.prompts.brief import Brief
from imagegen.prompts.scene import CATEGORIES
from imagegen.prompts.template import Template, shipped_template
from imagegen.prompts.vocabulary import shipped_vocabulary
from imagegen.workflows.persona import Persona
from tests.support.prompts_table import PERSONAS

SEED = 7
SECONDS = 5.0
WORDS_A_MESSAGE = 40

FILLING = [
    "well",
    "I",
    "really",
    "do",
    "not",
    "know",
    "what",
    "to",
    "say",
    "about",
    "that",
    "but",
    "let",
    "me",
    "think",
    "for",
    "a",
    "moment",
    "please",
    "because",
    "yesterday",
    "somebody",
    "told",
    "me",
    "something",
    "quite",
    "similar",
    "and",
    "we",
    "laughed",
    "a",
    "lot",
    "about",
    "it",
    "together",
    "знаешь",
    "мне",
    "кажется",
    "что",
    "всё",
    "это",
    "было",
    "не",
    "зря",
    "хотя",
    "иногда",
    "хочется",
    "просто",
    "помолчать",
    "вместе",
    "потому",
    "что",
    "слова",
    "ничего",
    "уже",
    "не",
    "меняют",
    "расскажи",
    "лучше",
    "о",
    "себе",
    "что",
    "ты",
    "сейчас",
    "делаешь",
    "где",
    "ты",
    "и",
    "с",
    "кем",
]


def main() -> None:
    chance = random.Random(SEED)
    briefs = [_brief(chance) for _ in range(5_000)]
    began = time.perf_counter()
    builder = shipped_template()
    click.echo(f"start: {time.perf_counter() - began:.2f} s, once a process")
    words = sum(len(text.split()) for brief in briefs[:100] for text in brief.texts) / 100
    click.echo(f"talks: {len(briefs)} distinct, {words:.0f} words each, Russian and English")
    count, seconds = _measured(builder, briefs)
    click.echo(f"prompts: {count / seconds:,.0f} a second on one core (at least 1,000 wanted)")


def _measured(builder: Template, briefs: Sequence[Brief]) -> tuple[int, float]:
    count, began = 0, time.process_time()
    while (seconds := time.process_time() - began) < SECONDS:
        for brief in islice(briefs, count % len(briefs), count % len(briefs) + 100):
            builder.write(brief)
        count += 100
    return count, seconds


def _brief(chance: random.Random) -> Brief:
    said = [_said(chance) for _ in range(5)]
    return Brief(
        persona=chance.choice(_PERSONAS),
        talk=Conversation(
            reply=said[0],
            text=said[1],
            history=tuple(Message(role="user", text=text) for text in said[2:]),
        ),
        rating=chance.choice(list(Rating)),
        variation=chance.randrange(3),
    )


def _said(chance: random.Random) -> str:
    words = [chance.choice(FILLING) for _ in range(WORDS_A_MESSAGE - 2)]
    words += [chance.choice(_KNOWN) for _ in range(2)]
    # Words that nobody has written before, such as names.
    words += ["".join(chance.choices("аеикнорст", k=8)) for _ in range(2)]
    chance.shuffle(words)
    return " ".join(words)


_PERSONAS: list[Persona] = list(PERSONAS.values())
_KNOWN = [
    text.removeprefix("=")
    for category in CATEGORIES
    for word in getattr(shipped_vocabulary(), category).values()
    for text in (*word.en, *word.ru)
]


if __name__ == "__main__":
    main()
