"""What a bot says by itself about its pictures: one text for each key and language."""

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path

from chatflow_hook.messages import is_language_code

_SHIPPED = Path(__file__).with_name("bot_texts.toml")
_DEFAULT_LANGUAGE = "en"

# Telegram's limits, in characters: of a message, of the answer to a press, and of a line in the
# menu of commands.
_MESSAGE_LENGTH = 4096
_SHORTER: Mapping[str, int] = {
    **dict.fromkeys(
        ("unavailable", "not_yours", "cancelled", "too_late", "forget_failed", "age_outdated"), 200
    ),
    **dict.fromkeys(("photo_command", "privacy_command", "forget_command"), 256),
}


class BotTexts:
    """The texts of `bot_texts.toml`, and a bot's own in their place.

    `own` has a mapping for each language, which is a code of two or three small letters, such as
    `de`; it may replace single texts, and add languages. A language that lacks a text has the
    English one. No text has placeholders: braces are shown as they are. Whoever replaces
    `age_question` sets another AGE_TEXT_VERSION too.

    Raises:
        ValueError: `own` has a key that no text has, a language that is no such code, or a text
            that is empty, no text at all, or longer than Telegram takes it.
    """

    def __init__(self, own: Mapping[str, Mapping[str, str]] | None = None) -> None:
        shipped: dict[str, dict[str, str]] = tomllib.loads(_SHIPPED.read_text("utf-8"))
        default = shipped[_DEFAULT_LANGUAGE]
        for language, texts in (own or {}).items():
            _check(language, texts, default)
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


def _check(language: object, texts: object, keys: Mapping[str, str]) -> None:
    """Check a bot's own texts when it starts: in a chat nobody could mend them."""
    if not isinstance(language, str) or not is_language_code(language):
        raise ValueError(f"[{language}] is no language: a code such as 'de' was expected")
    if not isinstance(texts, Mapping):
        raise ValueError(f"[{language}] holds no texts by key")  # noqa: TRY004 (one error for all)
    for key, text in texts.items():
        if key not in keys:
            raise ValueError(f"[{language}] there is no text {key!r}; there are {', '.join(keys)}")
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"[{language}] {key} is empty, or no text")
        if len(text) > (limit := _SHORTER.get(key, _MESSAGE_LENGTH)):
            raise ValueError(f"[{language}] {key} has {len(text)} characters; {limit} are allowed")
