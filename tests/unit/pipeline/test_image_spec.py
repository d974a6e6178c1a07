"""The screen reads everything of a conversation that a prompt builder may read."""

from hypothesis import given
from hypothesis import strategies as st

from chatflow_hook.turn import Conversation, Message
from imagegen.pipeline.image_spec import screened_messages
from imagegen.prompts.brief import Brief
from imagegen.workflows.persona import Persona
from tests.support import prompts_table

LINA: Persona = prompts_table.PERSONAS["lina"]
WORDS = st.sampled_from(["", " ", "\n\t", "\u00a0", "hello", "a word", "\u200b", "15"])
TALKS = st.builds(
    Conversation,
    text=WORDS,
    reply=st.none() | WORDS,
    prompt=st.none() | WORDS,
    history=st.lists(
        st.builds(Message, role=st.sampled_from(["user", "persona"]), text=WORDS), max_size=20
    ).map(tuple),
)


@given(TALKS)
def test_a_builder_reads_nothing_that_the_screen_does_not(talk: Conversation) -> None:
    brief = Brief(persona=LINA, talk=talk)

    read = [*brief.texts, *filter(None, [brief.own_prompt])]

    screened = "\n".join(message.text for message in screened_messages(talk))
    assert [words for words in read if words not in screened] == []


def test_blank_messages_push_none_out_of_sight() -> None:
    history = tuple(Message(role="user", text=words) for words in ("oldest", *[" "] * 12))
    talk = Conversation(text="newest", history=history)

    assert Brief(persona=LINA, talk=talk).texts == ["newest", "oldest"]
    assert [message.text for message in screened_messages(talk)] == ["oldest", "newest"]
