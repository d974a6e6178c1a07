"""Rehearsal: what would be drawn for a dialog, told without a database, a host or a bot."""

import random
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chatflow_hook.tables import Kind
from chatflow_hook.turn import PersonaName, Rating, Turn, Words
from imagegen.errors import Rejected
from imagegen.pipeline.content_policy import PolicySettings
from imagegen.pipeline.image_spec import (
    SeedInput,
    choose_seed,
    screened_words,
    write_screened_prompt,
)
from imagegen.prompts.brief import Brief
from imagegen.prompts.builder import PromptBuilder
from imagegen.prompts.scene import Prompt
from imagegen.safety.rating import PRIVATE, RatingBounds, effective_rating
from imagegen.safety.screen import Finding, Screen, ScreenVerdict
from imagegen.workflows.binding import bind
from imagegen.workflows.library import Workflow

_CHANCE = random.SystemRandom()


class DialogUnreadable(Rejected):
    """A dialog file that is none; the sentence names the file and the field, never what is in it."""


class DialogFile(Turn):
    """A turn as a dialog file tells it: nothing has to be there."""

    dialog_id: int = 0
    user_id: int = 0
    chat_id: int | None = None
    persona: PersonaName = ""
    text: Words = ""
    chat_type: Words | None = PRIVATE


@dataclass(frozen=True, kw_only=True)
class DryRunResult:
    """The lines of one persona; None is what there is not where nothing may be drawn."""

    persona: str
    rating: Rating
    # By which rules the screen found something, in the talk and in the prompt.
    talk: str
    screen: str | None = None
    prompt: str | None = None
    summary: str | None = None
    source: str | None = None
    fallback: str | None = None
    words: int | None = None
    seed: int | None = None
    cache_key: str | None = None

    @property
    def is_drawn(self) -> bool:
        """Whether a picture would be drawn."""
        return self.prompt is not None

    def as_json(self) -> dict[str, Any]:
        """Give the lines for programs."""
        return asdict(self)

    def as_text(self) -> str:
        """Give the lines for people."""
        told = {name: value for name, value in asdict(self).items() if value is not None}
        name = told.pop("persona")
        rows = (f"  {line.replace('_', ' '):<10} {value}" for line, value in told.items())
        return "\n".join((name, *rows))


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """A dialog played to personas, by a user who has confirmed their age."""

    dialog: DialogFile
    prompts: PromptBuilder
    screen: Screen
    rules: PolicySettings
    kind: Kind = Kind.AUTOMATIC
    variation: int = 0

    async def run(self, workflow: Workflow) -> DryRunResult:
        """Say what would be drawn of a persona."""
        found = self.screen.conversation(
            *screened_words(self.dialog.conversation),
            persona=workflow.persona.display_name,
        )
        told = DryRunResult(
            persona=workflow.persona.name,
            rating=self._allowed_rating(workflow, found),
            talk=_said(found),
        )
        if found.verdict is ScreenVerdict.REFUSED:
            return told
        brief = self._brief(
            workflow, told.rating, is_alone=found.verdict is not ScreenVerdict.CLEAR
        )
        before = self.prompts.fallbacks.copy()
        worded = await write_screened_prompt(self.prompts, self.screen, brief)
        told = replace(
            told,
            rating=worded.rating,
            screen=_said(worded.shown),
            fallback=next(iter(self.prompts.fallbacks - before), None),
        )
        if worded.shown.verdict is ScreenVerdict.REFUSED:
            return told
        return self._with_graph(told, workflow, worded.prompt)

    def _with_graph(self, told: DryRunResult, workflow: Workflow, prompt: Prompt) -> DryRunResult:
        seed = choose_seed(
            self.rules.seed_mode, self._seed_input(workflow.persona.name), chance=_CHANCE
        )
        bound = bind(workflow, prompt=prompt.text, seed=seed, prefix="rehearsal")
        # Each picture has another.
        is_known = self.rules.seed_mode != "random" or not self.kind.has_dialog
        return replace(
            told,
            prompt=prompt.text,
            summary=prompt.summary,
            source=prompt.source,
            words=prompt.words,
            seed=seed if is_known else None,
            cache_key=bound.cache_key if is_known else None,
        )

    def _seed_input(self, persona: str) -> SeedInput:
        return SeedInput(
            kind=self.kind,
            persona=persona,
            dialog_id=self.dialog.dialog_id,
            message_count=self.dialog.message_count or 0,
            variation=self.variation,
            story=self.dialog.story,
        )

    def _allowed_rating(self, workflow: Workflow, found: Finding) -> Rating:
        if found.verdict is not ScreenVerdict.CLEAR:
            return Rating.SAFE
        return effective_rating(
            RatingBounds(
                asked=self.dialog.rating,
                persona=workflow.persona.max_rating,
                operator=self.rules.max_rating,
                is_confirmed=True,
                chat_type=self.dialog.chat_type,
            )
        )

    def _brief(self, workflow: Workflow, allowed: Rating, *, is_alone: bool) -> Brief:
        return Brief(
            persona=workflow.persona,
            talk=self.dialog.conversation,
            rating=allowed,
            kind=self.kind,
            language=self.dialog.language,
            variation=self.variation,
            is_alone=is_alone,
        )


def _said(found: Finding) -> str:
    return f"{found.verdict.name.lower()} ({found.rule})" if found.verdict else "clear"


def read_dialog(file: Path) -> DialogFile:
    """Read a dialog file. Raises DialogUnreadable."""
    try:
        return DialogFile.model_validate_json(file.read_bytes())
    except OSError as error:
        raise DialogUnreadable(f"{file}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(map(str, detail["loc"]))
        raise DialogUnreadable(f"{file}: {where or 'the file'}: {detail['msg']}") from None
