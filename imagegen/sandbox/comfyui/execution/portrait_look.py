"""How the person of a drawn portrait looks, as far as the words of the prompt say it."""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import TypeVar

from imagegen.sandbox.comfyui.execution.colours import Colour

WordT = TypeVar("WordT")


class Cut(StrEnum):
    """The shape of the hair."""

    LONG = auto()
    BUN = auto()
    BOB = auto()
    PONYTAIL = auto()
    SHORT = auto()


@dataclass(frozen=True, kw_only=True)
class PortraitLook:
    """How a person looks; what the prompt does not say is derived from the name."""

    hue: float
    hair: Colour
    skin: Colour
    cut: Cut
    pattern: int
    has_beard: bool
    has_glasses: bool


_BLACK: Colour = (30, 30, 40)
_LIGHT: Colour = (246, 214, 190)

# The first that is found counts, so narrower words come first.
_HAIR: Mapping[str, Colour] = {
    r"dark blonde?": (150, 116, 72),
    r"honey": (214, 170, 96),
    r"blonde?": (228, 206, 160),
    r"auburn": (150, 52, 40),
    r"red|ginger|copper": (176, 78, 40),
    r"dark brown": (66, 44, 34),
    r"brown|chestnut": (120, 72, 40),
    r"black": _BLACK,
    r"silver|gr[ae]y|white": (190, 194, 202),
}
_SKIN: Mapping[str, Colour] = {
    r"(?:deep|dark) (?:brown )?skin|black skin": (104, 66, 46),
    r"brown skin": (140, 94, 70),
    r"tan(?:ned)? skin|olive skin": (214, 166, 124),
    r"(?:pale|fair|light) skin": (250, 228, 214),
}
_CUTS: Mapping[str, Cut] = {
    r"\bbun\b": Cut.BUN,
    r"\bbraid|ponytail|tied\b": Cut.PONYTAIL,
    r"\bbob\b|\bchin|collarbone|shoulder": Cut.BOB,
    r"\bshort\b|cropped": Cut.SHORT,
    r"\blong\b": Cut.LONG,
}
_CUTS_OF_NAMES = (Cut.LONG, Cut.BUN, Cut.BOB, Cut.PONYTAIL)
_HAIR_PHRASE = re.compile(r"((?:[\w-]+ ){0,5})(?:hair|bob)\b(?: [\w-]+){0,6}")
_BEARD = re.compile(r"\b(?:stubble|beard|bearded|goatee)\b")
_GLASSES = re.compile(r"\b(?:round|rimmed|wearing|reading) glasses\b")
_WHO = re.compile(r"\b(?:wo)?man\b")


def portrait_look(persona: str, prompt: str) -> PortraitLook:
    """Derive a look from the words of a prompt, and from the persona's name what they leave out."""
    # This number was chosen so that the shipped personas look different from each other.
    number = zlib.crc32(f"{persona.lower()} 13969".encode())
    words = prompt.lower()
    phrase = _HAIR_PHRASE.search(words)
    before_hair, hair_words = (phrase[1], phrase[0]) if phrase else ("", "")
    hairs, skins = list(_HAIR.values()), list(_SKIN.values())
    hair, skin = hairs[number // 7 % len(hairs)], skins[number // 11 % len(skins)]
    if phrase:  # described, so what is not said is the usual
        hair, skin = _BLACK, _LIGHT
    return PortraitLook(
        hue=(number % 997) / 997,
        hair=_found(_HAIR, before_hair) or hair,
        skin=_found(_SKIN, words) or skin,
        cut=_found(_CUTS, hair_words) or _cut_of(words, number),
        pattern=number // 17 % 3,
        has_beard=_BEARD.search(words) is not None,
        has_glasses=_GLASSES.search(words) is not None,
    )


def _cut_of(words: str, number: int) -> Cut:
    who = _WHO.search(words)
    return Cut.SHORT if who and who[0] == "man" else _CUTS_OF_NAMES[number // 13 % 4]


def _found(meanings: Mapping[str, WordT], words: str) -> WordT | None:
    return next((meaning for sign, meaning in meanings.items() if re.search(sign, words)), None)
