"""The sentences that people are told when there is no picture."""

import re
from pathlib import Path

import pytest

from chatflow_hook import ChatFlowHook
from chatflow_hook.messages import WITHOUT_PICTURE, Messages, shipped
from chatflow_hook.settings import BadSetting
from chatflow_hook.tables import State
from tests.support import conversations

LITHUANIAN = """
[lt]
failed = "Nepavyko."
refused = "Ne."
expired = "Per vėlu."
cancelled = "Atšaukta."

[en]
failed = "No luck."
"""


@pytest.mark.parametrize(
    ("language", "begins"),
    [("ru", "На этот раз"), ("ru-RU", "На этот раз"), ("RU_ru", "На этот раз")]
    + [(language, "The picture did not") for language in ("en", "de", "", None)],
)
def test_the_language_is_that_of_the_user_else_english(language: str | None, begins: str) -> None:
    sentence = shipped().sentence(State.FAILED, code="host_lost", language=language)

    assert sentence.startswith(begins)


def test_a_code_may_have_a_sentence_of_its_own_but_never_a_refusal() -> None:
    messages = shipped()

    own = messages.sentence(State.FAILED, code="message_too_long", language="en")
    refused = {
        messages.sentence(State.REFUSED, code=code, language="en")
        for code in ("minor_asked", "violence", "message_too_long", None)
    }

    assert own == "The message is too long to be drawn. Say it in fewer words."
    assert len(refused) == 1


def test_a_file_adds_languages_and_replaces_sentences(tmp_path: Path) -> None:
    file = tmp_path / "messages.toml"
    file.write_text(LITHUANIAN, "utf-8")
    messages = Messages(file)

    assert messages.sentence(State.EXPIRED, code="too_old", language="lt") == "Per vėlu."
    assert messages.sentence(State.FAILED, code="internal", language="de") == "No luck."
    assert (
        messages.sentence(State.CANCELLED, code="cancelled", language="ru") == "Картинку отменили."
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[lt]\nfailed = 'Nepavyko.'", "[lt] has no sentence for cancelled"),
        ("[en]\nfailed = ''", "[en] has to be a table of sentences"),
        ("lt = 'Ne.'", "[lt] has to be a table of sentences"),
        ("[pt-BR]\nfailed = 'Sem sorte.'", "[pt-BR] is no language"),
        ("[lt", "is no TOML file"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_the_setting_name(
    tmp_path: Path, content: str | None, says: str
) -> None:
    file = tmp_path / "messages.toml"
    if content is not None:
        file.write_text(content, "utf-8")
    settings = conversations.hook_settings("postgresql://a@b/c", "redis://a", messages_file=file)

    with pytest.raises(BadSetting, match=rf"^MESSAGES_FILE: .*{re.escape(says)}"):
        ChatFlowHook(settings)


@pytest.mark.parametrize("state", sorted(WITHOUT_PICTURE))
@pytest.mark.parametrize("language", ["en", "ru"])
def test_each_end_without_a_picture_has_a_sentence(state: State, language: str) -> None:
    assert shipped().sentence(state, code=None, language=language)
