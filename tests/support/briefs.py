"""Briefs of a persona that keeps no folder."""

from collections.abc import Sequence
from typing import Any

from chatflow_hook.turn import Conversation, Message
from imagegen.prompts.brief import Brief
from imagegen.workflows.persona import Habits, Persona, Wordings

NORA = Persona(
    name="nora",
    display_name="Nora",
    age=30,
    appearance="Nora is a woman with a red ponytail.",
    style="A bright photograph.",
    trigger_words=("norazt",),
)
HABITS = Habits(
    indoors=("in a lighthouse kitchen",),
    outdoors=("on a pier of her own",),
    clothes=("a green raincoat",),
    evening_clothes=("a green evening dress",),
    moods=("brisk and salty",),
    cameras=("a wide shot", "a close shot"),
    never_wears=("dress",),
)


def nora(**changed: Any) -> Persona:
    return NORA.model_copy(update=changed)


def brief(
    reply: str = "",
    text: str = "",
    prompt: str | None = None,
    history: Sequence[Message] = (),
    **changed: Any,
) -> Brief:
    talk = Conversation(reply=reply, text=text, prompt=prompt, history=tuple(history))
    return Brief(**{"persona": NORA, "talk": talk, **changed})


def worded(**by_rating: str) -> Persona:
    return nora(wording=Wordings(**by_rating))
