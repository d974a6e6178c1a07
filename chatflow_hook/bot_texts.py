"""What a bot says by itself about its pictures: one text for each key and language."""

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path

_SHIPPED = Path(__file__).with_name("bot_texts.toml")
_DEFAULT_LANGUAGE = "en"


class BotTexts:
    """The texts of `bot_texts.toml`, and a bot's own in their place.

    `own` has a mapping for each language code; it may replace single texts, and add languages. A
    language that lacks a text has the English one. Whoever replaces `age_question` sets another
    AGE_TEXT_VERSION too.

    Raises:
        ValueError: `own` has a key that no text has.
    """

    def __init__(self, own: Mapping[str, Mapping[str, str]] | None = None) -> None:
        shipped: dict[str, dict[str, str]] = tomllib.loads(_SHIPPED.read_text("utf-8"))
        default = shipped[_DEFAULT_LANGUAGE]
        for language, texts in (own or {}).items():
            if unknown := sorted(texts.keys() - default.keys()):
                raise ValueError(f"[{language}] there is no text {unknown[0]!r}")
            shipped[language] = shipped.get(language, {}) | dict(texts)
        self._texts: Mapping[str, Mapping[str, str]] = {
            language: default | shipped[_DEFAULT_LANGUAGE] | texts
            for language, texts in shipped.items()
        }

    @property
    def languages(self) -> list[str]:
        """The codes of all languages; a bot announces its commands in each."""
        return list(self._texts)

    def language(self, code: str | None) -> str:
        """Return the language in which a person with this language code, such as `ru-RU`, is told."""
        short = (code or "").replace("_", "-").partition("-")[0].lower()
        return short if short in self._texts else _DEFAULT_LANGUAGE

    def text(self, key: str, language: str | None) -> str:
        """Return a text in this language."""
        return self._texts[self.language(language)][key]

    def digest(self, key: str, language: str | None) -> str:
        """Return a short digest of a text, by which a button knows the text that it stood under."""
        text = self.text(key, language).encode()
        return hashlib.blake2s(text, digest_size=6).hexdigest()
