"""The screened prompt and the seed of one image."""

import hashlib
import random
from dataclasses import dataclass, replace
from typing import Literal

from chatflow_hook.tables import Kind
from chatflow_hook.turn import Conversation, Rating
from imagegen.prompts import builder
from imagegen.prompts.brief import Brief, newest_messages
from imagegen.prompts.builder import PromptBuilder
from imagegen.prompts.scene import Prompt
from imagegen.safety.screen import Finding, Screen, ScreenVerdict
from imagegen.workflows.library import MAX_SEED


def dialog_seed(dialog_id: int, message_count: int, variation: int = 0) -> int:
    """Return the seed (0 to 2^53-1) of the picture at a message of a dialog."""
    return _seed_from(f"{dialog_id}:{message_count}", variation)


def story_seed(persona: str, story: str, variation: int = 0) -> int:
    """Return the seed (0 to 2^53-1) of a persona's pictures through a story: one look in all."""
    return _seed_from(f"story:{len(persona)}:{persona}:{story}", variation)


def random_seed(chance: random.Random) -> int:
    """Return another seed (0 to 2^53-1) each time."""
    return chance.randrange(MAX_SEED + 1)


def _seed_from(name: str, variation: int) -> int:
    named = f"{name}:{variation}" if variation else name
    digest = hashlib.sha256(named.encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") & MAX_SEED


SeedMode = Literal["dialog", "story", "random"]


@dataclass(frozen=True, kw_only=True)
class ScreenedPrompt:
    """A prompt, how far it goes, and what the screen found in it; a refused one is not drawn."""

    prompt: Prompt
    rating: Rating
    shown: Finding


@dataclass(frozen=True, kw_only=True)
class SeedInput:
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
    return [*own, *(one.text for one in newest_messages(talk))]


async def write_screened_prompt(
    prompts: PromptBuilder, screen: Screen, told: Brief
) -> ScreenedPrompt:
    """Write a brief's prompt; what the screen wants tame is written by the template, at safe."""
    prompt, rating = await prompts.build(told), told.rating
    shown = screen.prompt(prompt.text)
    if shown.verdict is ScreenVerdict.SAFE_ONLY and rating is not Rating.SAFE:
        rating = Rating.SAFE
        prompt = builder.from_template(replace(told, rating=rating, is_alone=True))
        shown = screen.prompt(prompt.text)
    return ScreenedPrompt(prompt=prompt, rating=rating, shown=shown)


def choose_seed(mode: SeedMode, occasion: SeedInput, *, chance: random.Random) -> int:
    """Return the seed (0 to 2^53-1) of a picture; `chance` is asked in mode random only."""
    if not occasion.kind.has_dialog:  # of no dialog
        return story_seed(occasion.persona, "cover", occasion.variation)
    match mode:
        case "random":
            return random_seed(chance)
        case "story" if occasion.story:
            return story_seed(occasion.persona, occasion.story, occasion.variation)
        case _:
            return dialog_seed(occasion.dialog_id, occasion.message_count, occasion.variation)
