"""The template builder: a scene of the words found in a conversation, without any network."""

import functools
import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal, cast, get_args

from imagegen import lemmas
from imagegen.prompts.brief import Brief
from imagegen.prompts.scene import Scene

# So many of the newest messages are looked through.
MESSAGES = 8

_Topic = Literal["place", "time", "weather", "activity", "clothes", "mood"]
_TOPICS = get_args(_Topic)

_WORD = re.compile(r"[^\W\d_]+")
_POSES = (
    "looking into the camera with a small smile",
    "turning towards the viewer",
    "leaning on one elbow, in thought",
    "standing at ease, with a glance aside",
)
_PLACES = ("at home beside a tall window", "in a quiet street", "in a green city park")
_CLOTHES = ("casual everyday clothes",)
_LIGHTS = ("soft natural light", "even light from a large window", "gentle side light")
_MOODS = ("calm and friendly", "relaxed and open", "quietly attentive")
_CAMERAS = (
    "a medium shot at eye level",
    "a portrait from the shoulders up",
    "a full-length shot with room around",
    "a three-quarter view from slightly above",
)


@dataclass(frozen=True, kw_only=True)
class _Entry:
    topic: _Topic
    name: str
    says: tuple[str, ...]
    light: str | None
    at: str | None


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """What the builder knows: entries by the words that speak of them."""

    entries: Mapping[tuple[str, str], _Entry]
    by_word: Mapping[str, tuple[_Entry, ...]]

    def found(self, said: Sequence[str]) -> dict[_Topic, _Entry]:
        """Return what is spoken of, by topic: in the newest message that does, the last of it."""
        found: dict[_Topic, _Entry] = {}
        for words in said:
            told: dict[_Topic, _Entry] = {}
            for word in _WORD.findall(words.lower().replace("ё", "е")):
                for entry in self._of(word):
                    told[entry.topic] = entry
            found = told | found
        return found

    def _of(self, word: str) -> tuple[_Entry, ...]:
        for form in (word, *lemmas.of(word)):
            if form in self.by_word:
                return self.by_word[form]
        return ()


@functools.lru_cache(maxsize=1)
def shipped() -> Vocabulary:
    """Read the vocabulary that travels with this package."""
    raw = tomllib.loads(files("imagegen.prompts").joinpath("vocabulary.toml").read_text("utf-8"))
    entries: dict[tuple[str, str], _Entry] = {}
    by_word: dict[str, tuple[_Entry, ...]] = {}
    for topic in _TOPICS:
        for name, fields in raw[topic].items():
            entry = _Entry(
                topic=cast("_Topic", topic),
                name=name,
                says=tuple(fields["says"]),
                light=fields.get("light"),
                at=fields.get("at"),
            )
            entries[topic, name] = entry
            for word in f"{fields['en']} {fields['ru']}".replace("ё", "е").split():
                by_word[word] = (*by_word.get(word, ()), entry)
    return Vocabulary(entries=entries, by_word=by_word)


def scene(brief: Brief) -> Scene:
    """Return the scene of a conversation: the same for the same brief, on every machine."""
    words, persona = shipped(), brief.persona
    found = words.found(brief.said(MESSAGES))
    if (before := brief.scene) is not None:
        return _varied(Scene.model_validate(before), brief)
    activity, time = found.get("activity"), found.get("time")
    place = found.get("place")
    if place is None and activity is not None and activity.at is not None:
        place = words.entries["place", activity.at]
    where = [
        _one_of(place.says if place else _preferred(persona.place, _PLACES), brief, "place"),
        *(
            _one_of(entry.says, brief, entry.topic)
            for entry in (time, found.get("weather"))
            if entry
        ),
    ]
    return Scene(
        pose=_one_of(activity.says if activity else _POSES, brief, "pose"),
        scene=", ".join(where),
        clothes=_said_or(found.get("clothes"), _preferred(persona.clothes, _CLOTHES), brief),
        light=time.light if time and time.light else _one_of(_LIGHTS, brief, "light"),
        mood=_said_or(found.get("mood"), _preferred(persona.mood, _MOODS), brief),
        camera=_one_of(_preferred(persona.camera, _CAMERAS), brief, "camera"),
    )


def _varied(before: Scene, brief: Brief) -> Scene:
    """Keep where and in what, and change how it is seen: seeds alone change little."""
    return before.model_copy(
        update={
            "pose": _one_of(_POSES, brief, "pose", but=before.pose),
            "camera": _one_of(_CAMERAS, brief, "camera", but=before.camera),
            "light": _one_of(_LIGHTS, brief, "light", but=before.light),
        }
    )


def _said_or(entry: _Entry | None, otherwise: Sequence[str], brief: Brief) -> str:
    return _one_of(entry.says if entry else otherwise, brief, entry.topic if entry else "default")


def _preferred(own: str | None, others: Sequence[str]) -> Sequence[str]:
    return others if own is None else (own,)


def _one_of(phrases: Sequence[str], brief: Brief, what: str, *, but: str | None = None) -> str:
    left = [phrase for phrase in phrases if phrase != but]
    digest = hashlib.sha256(f"{brief.persona.name}/{what}".encode()).digest()
    return left[(int.from_bytes(digest[:4], "big") + brief.variation) % len(left)]
