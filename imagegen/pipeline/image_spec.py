"""What is drawn for one request: the screened prompt, its rating and the seed.

Seeds are pure functions, the same on every machine and in every version: a seed that changed would
draw another image.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from chatflow_hook.tables import Kind
from chatflow_hook.turn import Conversation, Message, Rating
from imagegen.prompts import builder
from imagegen.prompts.brief import Brief
from imagegen.prompts.builder import PromptBuilder
from imagegen.prompts.scene import DiscardedScene, WrittenPrompt
from imagegen.safety.screen import Finding, Screen, ScreenVerdict, worst
from imagegen.workflows.library import MAX_SEED
from imagegen.workflows.persona import Persona

SeedMode = Literal["dialog", "story", "random"]


@dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """What is drawn: the prompt, and the seed (0 to 2^53-1)."""

    prompt: WrittenPrompt
    seed: int

    @property
    def stored_scene(self) -> dict[str, Any] | None:
        """The scene as JSON for the row, without text of the chat; None if there is none."""
        if self.prompt.scene is None:
            return None
        return {
            "summary": self.prompt.summary,
            "source": self.prompt.source,
            "scene": self.prompt.scene,
        }


@dataclass(frozen=True, kw_only=True)
class ScreenedText:
    """What was found in a text that was to be drawn; `stage` is that of the safety audit."""

    stage: Literal["scene", "prompt"]
    text: str = field(repr=False)
    findings: Sequence[Finding]


@dataclass(frozen=True, kw_only=True)
class ScreenedPrompt:
    """A prompt, what the screen found in it, and in the texts that it was taken for.

    The prompt must not be drawn if the verdict of `finding` is REFUSED.
    """

    prompt: WrittenPrompt
    finding: Finding
    found: Sequence[ScreenedText]


@dataclass(frozen=True, kw_only=True)
class SeedInput:
    """The values from which a seed is computed; `story` is None outside of a story."""

    kind: Kind
    persona: str
    dialog_id: int
    message_count: int
    variation: int
    story: str | None


def screened_messages(talk: Conversation, caption: str | None = None) -> list[Message]:
    """Return what the screen reads together, the oldest message first.

    These are all messages that a prompt builder may read, then the bot's own prompt, and the caption
    that is sent with the picture.
    """
    of_bot = [Message(role="persona", text=text) for text in (talk.prompt, caption) if text]
    return [*reversed(talk.messages), *of_bot]


async def write_screened_prompt(
    prompts: PromptBuilder, screen: Screen, brief: Brief
) -> ScreenedPrompt:
    """Write the prompt of a brief and screen it.

    A prompt that the screen allows only at the rating safe is written once more, at safe, by the
    template, with the persona alone.
    """
    prompt = await prompts.build(brief)
    found = []
    if prompt.discarded is not None:
        found.append(_findings_on_discarded(screen, prompt.discarded))
    screened = _findings_on_prompt(screen, prompt)
    is_kept_safe = ScreenVerdict.CLEAR < worst(screened.findings).verdict < ScreenVerdict.REFUSED
    if is_kept_safe and prompt.rating is not Rating.SAFE:
        found.append(screened)
        prompt = builder.from_template(replace(brief, rating=Rating.SAFE, is_alone=True))
        screened = _findings_on_prompt(screen, prompt)
    return ScreenedPrompt(prompt=prompt, finding=worst(screened.findings), found=[*found, screened])


def _findings_on_prompt(screen: Screen, prompt: WrittenPrompt) -> ScreenedText:
    findings = screen.prompt_findings(prompt.text)
    return ScreenedText(stage="prompt", text=prompt.text, findings=findings)


def _findings_on_discarded(screen: Screen, scene: DiscardedScene) -> ScreenedText:
    findings = [Finding(verdict=ScreenVerdict.SAFE_ONLY, rule=scene.why)]
    if scene.why == builder.SCREENED:
        findings = screen.prompt_findings(scene.text)
    return ScreenedText(stage="scene", text=scene.text, findings=findings)


def choose_seed(mode: SeedMode, seed_input: SeedInput, *, chance: random.Random) -> int:
    """Return the seed (0 to 2^53-1) of an image; `chance` is used in mode random only.

    The seed of a kind without a dialog (a cover) depends on the persona and the variation, in every
    mode. In mode story, requests outside of a story have the seed of their dialog.
    """
    if not seed_input.kind.has_dialog:
        return story_seed(seed_input.persona, "cover", seed_input.variation)
    match mode:
        case "random":
            return random_seed(chance)
        case "story" if seed_input.story:
            return story_seed(seed_input.persona, seed_input.story, seed_input.variation)
        case _:
            return dialog_seed(seed_input.dialog_id, seed_input.message_count, seed_input.variation)


def image_count(kind: Kind, persona: Persona) -> int:
    """Return how many images one request has: an album only in a dialog."""
    return persona.images_per_request if kind.has_dialog else 1


def dialog_seed(dialog_id: int, message_count: int, variation: int = 0) -> int:
    """Return the seed (0 to 2^53-1) of the image at a message of a dialog."""
    return _seed_from(f"{dialog_id}:{message_count}", variation)


def story_seed(persona: str, story: str, variation: int = 0) -> int:
    """Return the seed (0 to 2^53-1) that all images of a persona in a story share."""
    return _seed_from(f"story:{len(persona)}:{persona}:{story}", variation)


def random_seed(chance: random.Random) -> int:
    """Return a new seed (0 to 2^53-1) each time."""
    return chance.randrange(MAX_SEED + 1)


def _seed_from(name: str, variation: int) -> int:
    # MAX_SEED is 2^53-1: larger integers are not exact in JSON and JavaScript.
    full_name = f"{name}:{variation}" if variation else name
    digest = hashlib.sha256(full_name.encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") & MAX_SEED
