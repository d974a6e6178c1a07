"""What people are told of a picture: while it is made, when there is none, and by its buttons."""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from chatflow_hook.settings import BadSetting, HookSettings
from chatflow_hook.tables import OPEN, State

_SHIPPED = Path(__file__).with_name("messages.toml")
_DEFAULT_LANGUAGE = "en"

# The states of requests that ended without a picture; each language has a sentence for each.
WITHOUT_PICTURE = frozenset(State) - OPEN - {State.DELIVERED}


class Messages:
    """The sentences of all languages, from the shipped file and an operator's.

    A file is TOML: a table for each language, named by two or three letters without a region, with
    a sentence for each key, which is a state, an error code or a phrase of what is told while a
    picture is made. `file` adds languages, and replaces sentences of those that are shipped.

    Raises:
        ValueError: the file cannot be read, a table is not named by a language, or a language has
            no sentence for one of the states. The message says which.
    """

    def __init__(self, file: Path | None = None) -> None:
        added = {} if file is None else _read(file)
        shipped = _read(_SHIPPED)
        self._sentences: Mapping[str, Mapping[str, str]] = {
            language: {**shipped.get(language, {}), **added.get(language, {})}
            for language in shipped | added
        }
        for language, sentences in self._sentences.items():
            if missing := sorted(WITHOUT_PICTURE - sentences.keys()):
                raise ValueError(f"[{language}] has no sentence for {missing[0]}")

    def sentence(self, state: State, *, code: str | None, language: str | None) -> str:
        """Return what a person is told of a request in this state, one of WITHOUT_PICTURE.

        `language` is a code such as `ru-RU`; the sentence is English for None and for a language
        without sentences. A refusal says the same for each of its rules.
        """
        sentences = self._of_language(language)
        own = None if state is State.REFUSED else sentences.get(code or "")
        return own or sentences[state]

    def text(self, key: str, *, language: str | None, **facts: str) -> str:
        """Return a label, an answer or a phrase by its key, with each `{name}` replaced by that fact.

        English where the language has none.
        """
        text = self._of_language(language).get(key) or self._sentences[_DEFAULT_LANGUAGE][key]
        for name, fact in facts.items():
            text = text.replace(f"{{{name}}}", fact)
        return text

    def _of_language(self, language: str | None) -> Mapping[str, str]:
        return self._sentences.get(language_code(language)) or self._sentences[_DEFAULT_LANGUAGE]


def language_code(language: str | None) -> str:
    """Return `ru` for a language such as `ru-RU` or `RU_ru`; nothing for None."""
    return (language or "").replace("_", "-").partition("-")[0].lower()


@cache
def shipped() -> Messages:
    """Return the sentences without an operator's file."""
    return Messages()


def messages_of(settings: HookSettings) -> Messages:
    """Return the sentences with those of MESSAGES_FILE.

    Raises:
        BadSetting: MESSAGES_FILE cannot be used.
    """
    try:
        return Messages(settings.messages_file)
    except ValueError as error:
        raise BadSetting(f"MESSAGES_FILE: {error}") from None


def _read(file: Path) -> dict[str, dict[str, str]]:
    try:
        languages: dict[str, Any] = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    except ValueError as error:  # of TOML, or of UTF-8
        raise ValueError(f"{file} is no TOML file: {error}") from None
    for language, sentences in languages.items():
        if not is_language_code(language.lower()):
            raise ValueError(
                f"{file}: [{language}] is no language: a code of two or three letters such as 'de'"
                " was expected, without a region"
            )
        if not isinstance(sentences, dict) or not all(map(_is_sentence, sentences.values())):
            raise ValueError(f"{file}: [{language}] has to be a table of sentences")
    return {language.lower(): sentences for language, sentences in languages.items()}


def is_language_code(text: str) -> bool:
    """Return whether a text is a language's code of two or three small letters, without a region."""
    return re.fullmatch(r"[a-z]{2,3}", text) is not None


def _is_sentence(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
