"""Direction: what is drawn of a talk, how far it goes and from which seed, wherever it is asked."""

import random
from dataclasses import dataclass, replace
from typing import Literal

from chatflow_hook.tables import Kind
from chatflow_hook.turn import Conversation, Rating
from imagegen import seeds
from imagegen.prompts import brief, builder
from imagegen.prompts.brief import Brief
from imagegen.prompts.builder import PromptBuilder
from imagegen.prompts.scene import Prompt
from imagegen.safety.screen import Finding, Screen, Verdict

SeedMode = Literal["dialog", "story", "random"]


@dataclass(frozen=True, kw_only=True)
class Worded:
    """A prompt, how far it goes, and what the screen found in it; a refused one is not drawn."""

    prompt: Prompt
    rating: Rating
    shown: Finding


@dataclass(frozen=True, kw_only=True)
class Occasion:
    """What a seed depends on."""

    kind: Kind
    persona: str
    dialog_id: int
    message_count: int
    variation: int
    story: str | None


def screened_words(talk: Conversation) -> list[str]:
    """Return what the screen looks at together: all that builders read, and the bot's own prompt."""
    own = [talk.prompt] if talk.prompt else []
    return [*own, *(one.text for one in brief.newest(talk))]


async def worded(prompts: PromptBuilder, screen: Screen, told: Brief) -> Worded:
    """Write a brief's prompt; what the screen wants tame is written by the template, at safe."""
    prompt, rating = await prompts.build(told), told.rating
    shown = screen.prompt(prompt.text)
    if shown.verdict is Verdict.SAFE_ONLY and rating is not Rating.SAFE:
        rating = Rating.SAFE
        prompt = builder.from_template(replace(told, rating=rating, is_alone=True))
        shown = screen.prompt(prompt.text)
    return Worded(prompt=prompt, rating=rating, shown=shown)


def seed(mode: SeedMode, occasion: Occasion, *, chance: random.Random) -> int:
    """Return the seed (0 to 2^53-1) of a picture; `chance` is asked in mode random only."""
    if occasion.kind is Kind.COVER:  # of no dialog
        return seeds.of_story(occasion.persona, "cover", occasion.variation)
    match mode:
        case "random":
            return seeds.at_random(chance)
        case "story" if occasion.story:
            return seeds.of_story(occasion.persona, occasion.story, occasion.variation)
        case _:
            return seeds.of_dialog(occasion.dialog_id, occasion.message_count, occasion.variation)
