"""Rehearsal: what would be drawn for a dialog, told without a database, a host or a bot."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chatflow_hook.tables import Kind
from chatflow_hook.turn import PersonaName, Rating, Turn, Words
from imagegen import seeds, workflows
from imagegen.director import Rules
from imagegen.errors import Rejected
from imagegen.prompts import builder
from imagegen.prompts.brief import MESSAGES, Brief
from imagegen.prompts.builder import PromptBuilder
from imagegen.prompts.scene import Prompt
from imagegen.safety import rating
from imagegen.safety.rating import PRIVATE, Bounds
from imagegen.safety.screen import Finding, Screen, Verdict
from imagegen.workflows import Workflow


class DialogUnreadable(Rejected):
    """A dialog file that is none; the sentence names the file and the field, never what is in it."""


class Dialog(Turn):
    """A turn as a dialog file tells it: nothing has to be there."""

    dialog_id: int = 0
    user_id: int = 0
    chat_id: int | None = None
    persona: PersonaName = ""
    text: Words = ""
    chat_type: Words | None = PRIVATE


@dataclass(frozen=True, kw_only=True)
class Sheet:
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
class Rehearsal:
    """A dialog played to personas, by a user who has confirmed their age."""

    dialog: Dialog
    prompts: PromptBuilder
    screen: Screen
    rules: Rules
    kind: Kind = Kind.AUTOMATIC
    variation: int = 0

    async def sheet(self, workflow: Workflow) -> Sheet:
        """Say what would be drawn of a persona."""
        found = self.screen.conversation("\n".join(self._words))
        told = Sheet(
            persona=workflow.persona.name, rating=self._allowed(workflow, found), talk=_said(found)
        )
        if found.verdict is Verdict.REFUSED:
            return told
        brief = self._brief(workflow, told.rating, is_alone=found.verdict is not Verdict.CLEAR)
        before = self.prompts.fallbacks.copy()
        prompt = await self.prompts.build(brief)
        fallback = next(iter(self.prompts.fallbacks - before), None)
        shown = self.screen.prompt(prompt.text)
        if shown.verdict is Verdict.REFUSED:
            return replace(told, screen=_said(shown), fallback=fallback)
        if shown.verdict is Verdict.SAFE_ONLY and told.rating is not Rating.SAFE:
            told = replace(told, rating=Rating.SAFE)
            prompt = builder.from_template(replace(brief, rating=Rating.SAFE, is_alone=True))
        return replace(self._drawn(told, workflow, prompt), screen=_said(shown), fallback=fallback)

    def _drawn(self, told: Sheet, workflow: Workflow, prompt: Prompt) -> Sheet:
        seed = self._seed(workflow.persona.name)
        bound = workflows.bind(workflow, prompt=prompt.text, seed=seed or 0, prefix="rehearsal")
        return replace(
            told,
            prompt=prompt.text,
            summary=prompt.summary,
            source=prompt.source,
            words=prompt.words,
            seed=seed,
            cache_key=None if seed is None else bound.cache_key,
        )

    @property
    def _words(self) -> list[str]:
        """What builders read, and the bot's own prompt."""
        talk = self.dialog.conversation
        earlier = (message.text for message in reversed(talk.history))
        said = (talk.prompt, talk.reply, talk.text, *earlier)
        return [words for words in said if words][: MESSAGES + 1]

    def _allowed(self, workflow: Workflow, found: Finding) -> Rating:
        if found.verdict is not Verdict.CLEAR:
            return Rating.SAFE
        return rating.effective(
            Bounds(
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

    def _seed(self, persona: str) -> int | None:
        """Give the seed; None where each picture has another."""
        if self.kind is Kind.COVER:
            return seeds.of_story(persona, "cover", self.variation)
        match self.rules.seed_mode:
            case "random":
                return None
            case "story" if self.dialog.story:
                return seeds.of_story(persona, self.dialog.story, self.variation)
            case _:
                count = self.dialog.message_count or 0
                return seeds.of_dialog(self.dialog.dialog_id, count, self.variation)


def _said(found: Finding) -> str:
    return f"{found.verdict.name.lower()} ({found.rule})" if found.verdict else "clear"


def read(file: Path) -> Dialog:
    """Read a dialog file. Raises DialogUnreadable."""
    try:
        return Dialog.model_validate_json(file.read_bytes())
    except OSError as error:
        raise DialogUnreadable(f"{file}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(map(str, detail["loc"]))
        raise DialogUnreadable(f"{file}: {where or 'the file'}: {detail['msg']}") from None
