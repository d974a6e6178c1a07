"""Dry run: what would be drawn for a dialog, computed without a database, a host or a bot."""

import random
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chatflow_hook.tables import Kind
from chatflow_hook.turn import KNOWN_ROLES_ONLY, PersonaName, Rating, Turn, Words
from imagegen.errors import Rejected
from imagegen.pipeline.content_policy import PolicySettings
from imagegen.pipeline.image_spec import (
    SeedInput,
    choose_seed,
    image_count,
    screened_messages,
    write_screened_prompt,
)
from imagegen.prompts.brief import Brief
from imagegen.prompts.builder import PromptBuilder
from imagegen.prompts.scene import WrittenPrompt
from imagegen.safety.rating import RatingBounds, effective_rating, is_private_chat
from imagegen.safety.screen import Finding, Screen, ScreenVerdict
from imagegen.workflows.binding import bind
from imagegen.workflows.library import Workflow

_RANDOM = random.SystemRandom()


class DialogUnreadable(Rejected):
    """A dialog file cannot be used; the sentence names the file and the field, never its text."""


class DialogFile(Turn):
    """A Turn that is read from a JSON file; every field may be left out."""

    dialog_id: int = 0
    user_id: int = 0
    chat_id: int | None = None
    persona: PersonaName = ""
    text: Words = ""


EXAMPLE_DIALOG = DialogFile(
    message_count=4,
    text="What are you doing? Show me!",
    reply="I'm reading a book in a small café, in my sweater. It's a rainy evening.",
)


@dataclass(frozen=True, kw_only=True)
class DryRunResult:
    """What would be drawn for one persona; most fields are None if nothing may be drawn.

    Attributes:
        rating: the rating at which it would be drawn.
        talk: what the screen found in the conversation, by which rule.
        screen: what the screen found in the prompt, by which rule.
        summary: the scene in a few words.
        source: what wrote the prompt.
        fallback: why the template wrote it instead of the language model, None if it did not.
        words: the number of words of the prompt.
        seed: the seed, None if each image has another one.
        cache_key: the key under which the image would be found again, None like `seed`.
    """

    persona: str
    rating: Rating
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
        """Return all fields as plain objects."""
        return asdict(self)

    def as_text(self) -> str:
        """Return a line for each field that is not None, below the name of the persona."""
        fields = {name: value for name, value in asdict(self).items() if value is not None}
        persona = fields.pop("persona")
        rows = (f"  {name.replace('_', ' '):<10} {value}" for name, value in fields.items())
        return "\n".join((persona, *rows))


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """A dialog whose prompts are written as for a user who has confirmed their age."""

    dialog: DialogFile
    prompts: PromptBuilder
    screen: Screen
    rules: PolicySettings
    kind: Kind = Kind.AUTOMATIC
    variation: int = 0

    async def run(self, workflow: Workflow) -> DryRunResult:
        """Return what would be drawn for the persona of a workflow."""
        finding = self.screen.conversation(
            *screened_messages(self.dialog.conversation, self.dialog.caption),
            persona=workflow.persona.display_name,
        )
        result = DryRunResult(
            persona=workflow.persona.name,
            rating=self._allowed_rating(workflow, finding),
            talk=_verdict_text(finding),
        )
        if finding.verdict is ScreenVerdict.REFUSED:
            return result

        brief = self._brief(
            workflow, result.rating, is_alone=finding.verdict >= ScreenVerdict.SAFE_ONLY
        )
        fallbacks_before = self.prompts.fallbacks.copy()
        screened = await write_screened_prompt(self.prompts, self.screen, brief)
        result = replace(
            result,
            rating=screened.prompt.rating,
            screen=_verdict_text(screened.finding),
            fallback=next(iter(self.prompts.fallbacks - fallbacks_before), None),
        )
        if screened.finding.verdict is ScreenVerdict.REFUSED:
            return result
        return self._with_graph(result, workflow, screened.prompt)

    def _allowed_rating(self, workflow: Workflow, finding: Finding) -> Rating:
        if finding.verdict is not ScreenVerdict.CLEAR:
            return Rating.SAFE
        return effective_rating(
            RatingBounds(
                asked=self.dialog.rating,
                persona=workflow.persona.max_rating,
                operator=self.rules.max_rating,
                is_confirmed=True,
                # Without a chat, as in the private one of the user.
                is_private=self.dialog.chat_id is None
                or is_private_chat(self.dialog.chat_id, self.dialog.user_id),
            )
        )

    def _brief(self, workflow: Workflow, rating: Rating, *, is_alone: bool) -> Brief:
        return Brief(
            persona=workflow.persona,
            talk=self.dialog.conversation,
            rating=rating,
            kind=self.kind,
            language=self.dialog.language,
            variation=self.variation,
            is_alone=is_alone,
        )

    def _with_graph(
        self, result: DryRunResult, workflow: Workflow, prompt: WrittenPrompt
    ) -> DryRunResult:
        seed = choose_seed(
            self.rules.seed_mode, self._seed_input(workflow.persona.name), chance=_RANDOM
        )
        graph = bind(
            workflow,
            prompt=prompt.text,
            seed=seed,
            prefix="rehearsal",
            count=image_count(self.kind, workflow.persona),
        )
        # At random each image has another seed, so that there is none to show.
        is_seed_fixed = self.rules.seed_mode != "random" or not self.kind.has_dialog
        return replace(
            result,
            prompt=prompt.text,
            summary=prompt.summary,
            source=prompt.source,
            words=prompt.words,
            seed=seed if is_seed_fixed else None,
            cache_key=graph.cache_key if is_seed_fixed else None,
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


def read_dialog(file: Path) -> DialogFile:
    """Read a dialog file, which is a JSON object with fields of a Turn.

    Raises:
        DialogUnreadable: the file cannot be read, or a field is wrong.
    """
    try:
        return DialogFile.model_validate_json(file.read_bytes(), context=KNOWN_ROLES_ONLY)
    except OSError as error:
        raise DialogUnreadable(f"{file}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(map(str, detail["loc"]))
        raise DialogUnreadable(f"{file}: {where or 'the file'}: {detail['msg']}") from None


def _verdict_text(finding: Finding) -> str:
    if not finding.verdict:
        return "clear"
    return f"{finding.verdict.name.lower()} ({finding.rule})"
