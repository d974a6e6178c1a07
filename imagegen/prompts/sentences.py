"""Sentences: what every prompt is made of, whoever words its scene."""

import unicodedata

from imagegen.workflows.persona import Persona

MAX_WORDS = 380

_ENDS = (".", "!", "?", "…")
# What stands instead of a sign of a category: control characters part words, format signs hide in
# them, and half a surrogate pair is nothing at all.
_INSTEAD = {"Cc": " ", "Cs": " ", "Cf": ""}


def identity(persona: Persona) -> str:
    """Say who is drawn: trigger words, name, the adult's age, the fixed appearance."""
    shown = ", ".join((*persona.trigger_words, persona.display_name))
    return (
        f"A picture of {shown}, a fictional adult aged {persona.age}. {ended(persona.appearance)}"
    )


def alone(persona: Persona) -> str:
    """Say that nobody else is drawn."""
    return f"{persona.display_name} is the only person in the picture."


def ended(text: str) -> str:
    """End a text as a sentence ends."""
    return text if text.endswith(_ENDS) else f"{text.rstrip(' ,;:-')}."


def one_line(words: str) -> str:
    """Put words on one line, without control characters and other signs that nobody sees."""
    plain = (_INSTEAD.get(unicodedata.category(sign), sign) for sign in words)
    return " ".join("".join(plain).split())


def joined(persona: Persona, *sentences: str | None) -> str:
    """Put sentences between identity and style; the last are left out where there is no room."""
    start, style = identity(persona), ended(persona.style)
    room = MAX_WORDS - len(f"{start} {style}".split())
    told = []
    for sentence in filter(None, sentences):
        room -= len(sentence.split())
        if room < 0:
            break
        told.append(sentence)
    return " ".join((start, *told, style))
