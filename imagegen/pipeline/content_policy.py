"""Decides what is drawn for a request, at which rating, and how the picture is delivered."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chatflow_hook.turn import Conversation, Rating
from imagegen.pipeline.image_spec import (
    ImageSpec,
    SeedInput,
    SeedMode,
    choose_seed,
    screened_messages,
    write_screened_prompt,
)
from imagegen.pipeline.safety_audit import SafetyAudit
from imagegen.pipeline.turn_reader import TurnReader
from imagegen.prompts.brief import Brief
from imagegen.prompts.builder import PromptBuilder
from imagegen.requests.claim import ClaimedRequest
from imagegen.safety.rating import (
    RatingBounds,
    drawn_rating,
    effective_rating,
    is_private_chat,
    known_rating,
    lowest_rating,
)
from imagegen.safety.refusal import RatingWithdrawn, Refused
from imagegen.safety.screen import Finding, Screen, ScreenVerdict, worst
from imagegen.workflows.persona import Persona


@dataclass(frozen=True, kw_only=True)
class PolicySettings:
    """The operator's settings: MAX_RATING, SEED_MODE and PROTECT_CONTENT."""

    max_rating: Rating = Rating.SAFE
    seed_mode: SeedMode = "dialog"
    protects_content: bool = False


@dataclass(frozen=True, kw_only=True)
class DeliveryOptions:
    """How a picture is sent: behind a spoiler, and protected from being forwarded and saved."""

    has_spoiler: bool = False
    protect_content: bool = False


class ContentPolicy:
    """Decides from the claimed request alone.

    What the screen finds is written to the audit, and what it says of ages is remembered.
    """

    def __init__(  # noqa: PLR0913 (what it decides with)
        self,
        prompts: PromptBuilder,
        screen: Screen,
        audit: SafetyAudit,
        turn_reader: TurnReader,
        rules: PolicySettings,
        *,
        chance: random.Random | None = None,
    ) -> None:
        self._prompts = prompts
        self._screen = screen
        self._audit = audit
        self._turn_reader = turn_reader
        self._rules = rules
        self._chance = chance or random.SystemRandom()

    async def image_spec(self, request: ClaimedRequest, persona: Persona) -> ImageSpec:
        """Return what is drawn for a request.

        Raises:
            Refused: the screen refuses the conversation or the prompt.
            ConversationUnreadable: only a newer worker can read the conversation.
            Unavailable: a finding could not be written, since PostgreSQL is away.
        """
        talk = request.talk
        found = await self._screened(request, talk, persona)
        brief = Brief(
            persona=persona,
            talk=talk,
            rating=self._allowed_rating(
                request, persona, found, may_exceed_safe=request.may_exceed_safe
            ),
            kind=request.kind,
            language=request.language,
            variation=request.variation,
            is_alone=found.verdict >= ScreenVerdict.SAFE_ONLY,
            scene=_scene(request.scene),
        )
        worded = await write_screened_prompt(self._prompts, self._screen, brief)
        for screened in worded.found:
            await self._audit.record(request, screened.stage, screened.findings, screened.text)
        if worded.finding.verdict is ScreenVerdict.REFUSED:
            raise Refused(worded.finding.rule, language=request.language)
        seed = choose_seed(
            self._rules.seed_mode, _seed_input(request, persona), chance=self._chance
        )
        return ImageSpec(prompt=worded.prompt, seed=seed)

    async def delivery_options(
        self, request: ClaimedRequest, persona: Persona | None, *, may_exceed_safe: bool
    ) -> DeliveryOptions:
        """Return how a drawn picture is handed over.

        `may_exceed_safe`: whether the user's age confirmation holds now and nothing learnt keeps the
        dialog safe, not at the claim.

        Raises:
            ConversationUnreadable: only a newer worker can read the conversation.
            Refused: the screen refuses the conversation.
            RatingWithdrawn: the picture goes further than is allowed now.
        """
        found = await self._screened(request, request.talk, persona)
        drawn = drawn_rating(request.drawn_rating)
        if drawn is Rating.SAFE:
            return DeliveryOptions(has_spoiler=request.has_spoiler)
        allowed = self._allowed_rating(request, persona, found, may_exceed_safe=may_exceed_safe)
        if lowest_rating(allowed, drawn) is not drawn:
            raise await self._rating_withdrawn(request)
        return DeliveryOptions(has_spoiler=True, protect_content=self._rules.protects_content)

    async def check_age(self, request: ClaimedRequest, *, may_exceed_safe: bool) -> None:
        """Make sure, just before a send, that a picture above safe goes to a confirmed adult.

        Raises:
            RatingWithdrawn: it is above safe, and the user's age confirmation does not hold now or
                something learnt keeps the dialog safe.
            Unavailable: the finding could not be written, since PostgreSQL is away.
        """
        if not may_exceed_safe and drawn_rating(request.drawn_rating) is not Rating.SAFE:
            raise await self._rating_withdrawn(request)

    async def _rating_withdrawn(self, request: ClaimedRequest) -> RatingWithdrawn:
        error = RatingWithdrawn(language=request.language)
        await self._audit.record_refusal(request, "delivery", error)
        return error

    async def _screened(
        self, request: ClaimedRequest, talk: Conversation, persona: Persona | None
    ) -> Finding:
        messages = screened_messages(talk, request.caption)
        # In a thread: a long conversation takes a while, and websocket frames must not wait.
        name = persona.display_name if persona else ""
        findings = await asyncio.to_thread(self._screen.findings, *messages, persona=name)
        await self._turn_reader.learn(request, findings)
        words = "\n".join(message.text for message in messages)
        await self._audit.record(request, "conversation", findings, words)
        found = worst(findings)
        if found.verdict is ScreenVerdict.REFUSED:
            raise Refused(found.rule, language=request.language)
        return found

    def _allowed_rating(
        self,
        request: ClaimedRequest,
        persona: Persona | None,
        found: Finding,
        *,
        may_exceed_safe: bool,
    ) -> Rating:
        if found.verdict is not ScreenVerdict.CLEAR:
            return Rating.SAFE
        bounds = RatingBounds(
            asked=known_rating(request.rating),
            persona=Rating.SAFE if persona is None else persona.max_rating,
            operator=self._rules.max_rating,
            is_confirmed=may_exceed_safe,
            is_private=is_private_chat(request.chat_id, request.user_id),
        )
        if request.drawn_rating is None:
            return effective_rating(bounds)
        # What lowered it when it was drawn may not be found again: a model's answer for instance.
        return lowest_rating(effective_rating(bounds), drawn_rating(request.drawn_rating))


def _seed_input(request: ClaimedRequest, persona: Persona) -> SeedInput:
    return SeedInput(
        kind=request.kind,
        # Not the request's name of it, which may be an alias.
        persona=persona.name,
        dialog_id=request.dialog_id,
        message_count=request.message_count,
        variation=request.variation,
        story=request.story,
    )


def _scene(kept: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    found = None if kept is None else kept.get("scene")
    return found if isinstance(found, dict) else None
