"""A row's life: claim, advance, finish."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4, uuid5

from sqlalchemy import (
    ColumnElement,
    Select,
    Update,
    case,
    delete,
    func,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from chatflow_hook.tables import OPEN, Dialog, ImageRequest, Kind, State
from chatflow_hook.turn import Rating
from imagegen import fence, ledger, transactions, watermark
from imagegen.claimed import Claimed, ClaimLost, Send, Standing
from imagegen.delivery.parcel import Receipt
from imagegen.errors import ImagegenError
from imagegen.images import Image
from imagegen.tables import StrayPrompt

ResultT = TypeVar("ResultT")

# Much shorter than a lease: nobody takes over who has not waited for its end.
_PROOF_HOLDS_S = 1.0

_COPIED = [
    column
    for column in ImageRequest.__table__.columns
    if column.name in Claimed.__dataclass_fields__
]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a request stands among all, oldest first."""

    created_at: datetime
    request_id: UUID


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is about to be drawn."""

    seed: int
    cache_key: str
    rating: Rating
    scene: dict[str, Any] | None


class Requests:
    """The worker's view of image_requests, one transaction a method.

    Every write but `claim` raises ClaimLost when the row is not ours any more. All raise
    Unavailable when PostgreSQL is away.
    """

    def __init__(
        self, sessions: async_sessionmaker[AsyncSession], *, keeps_context: bool = True
    ) -> None:
        self._sessions = sessions
        self._keeps_context = keeps_context

    async def claim(self, request_id: UUID) -> Claimed | None:
        """Take an open request, from whoever had it; None if there is nothing to do."""
        query = (
            update(ImageRequest)
            .where(ImageRequest.id == request_id, ImageRequest.state.in_(OPEN))
            # A claim that nobody let go of: the job that had it has vanished.
            .values(
                claim=uuid4(),
                crashes=case(
                    (ImageRequest.claim.is_not(None), ImageRequest.crashes + 1),
                    else_=ImageRequest.crashes,
                ),
                updated_at=func.clock_timestamp(),
            )
            .returning(
                *_COPIED,
                func.extract("epoch", func.clock_timestamp() - ImageRequest.queued_at).label(
                    "age_s"
                ),
            )
        )
        began = time.monotonic()
        row = await self._run(lambda session: fence.one_or_none(session, query))
        return None if row is None else _claimed(row, proved_at=began)

    async def silent(self, *, silent_s: float, after: Place | None, most: int) -> list[Place]:
        """Return open requests to which nothing was written for so long, oldest first."""
        where = [ImageRequest.state.in_(OPEN), _older(silent_s)]
        if after is not None:
            where.append(
                tuple_(ImageRequest.created_at, ImageRequest.id)
                > tuple_(literal(after.created_at), literal(after.request_id))
            )
        query = (
            select(ImageRequest.created_at, ImageRequest.id)
            .where(*where)
            .order_by(ImageRequest.created_at, ImageRequest.id)
            .limit(most)
        )

        async def step(session: AsyncSession) -> list[Place]:
            rows = await session.execute(query)
            return [Place(created_at=created_at, request_id=id_) for created_at, id_ in rows]

        return await self._run(step)

    async def start_drawing(self, request: Claimed, plan: Plan, *, host: str) -> Claimed:
        """Note what is about to be drawn where, under a prompt id never used before."""
        draw = request.draw + 1
        prompt_id = uuid5(request.id, str(draw))
        query = fence.advance(request, State.DRAWING).values(
            host=host,
            draw=draw,
            prompt_id=prompt_id,
            seed=plan.seed,
            cache_key=plan.cache_key,
            drawn_rating=plan.rating,
            scene=plan.scene,
            crashes=0,
        )
        began = time.monotonic()
        await self._run(lambda session: fence.held(session, query))
        return replace(
            request,
            state=State.DRAWING,
            host=host,
            draw=draw,
            prompt_id=prompt_id,
            drawn_rating=plan.rating,
            scene=plan.scene,
            proved_at=began,
        )

    async def end_drawing(self, request: Claimed, *, leaves_a_stray: bool) -> Claimed:
        """Note that the prompt came to nothing, and whether it may still be on its host."""

        async def step(session: AsyncSession) -> None:
            query = fence.advance(request, State.QUEUED).values(prompt_id=None)
            await fence.held(session, query)
            if leaves_a_stray:
                await session.execute(_stray(request))

        await self._run(step)
        return replace(request, state=State.QUEUED, prompt_id=None)

    async def leave(self, request: Claimed) -> None:
        """Note a prompt of a request that is not ours any more, since nobody else knows of it."""
        await self._run(lambda session: session.execute(_stray(request)))

    async def stands(self, request: Claimed) -> Standing:
        """Say what has become of the request since it was claimed."""
        query = select(ImageRequest.claim, ImageRequest.state, ImageRequest.prompt_id).where(
            ImageRequest.id == request.id
        )
        row = await self._run(lambda session: fence.one_or_none(session, query))
        if row is None or row.state not in OPEN:
            return Standing.ENDED
        if row.claim == request.claim:
            return Standing.OURS
        return Standing.TAKEN if row.prompt_id == request.prompt_id else Standing.ENDED

    async def prove(self, request: Claimed, *, proved_at: float) -> None:
        """Make sure that the request is ours, just before something that others can see.

        Asks only if the last proof is not fresh: this process may have stood still since. Raises
        ClaimLost.
        """
        if time.monotonic() - proved_at < _PROOF_HOLDS_S:
            return
        if await self.stands(request) is not Standing.OURS:
            raise ClaimLost("another job has this request now, or it has ended")

    async def keep(
        self, request: Claimed, image: Image, *, url: str | None, seconds: float | None
    ) -> None:
        """Note that the picture is drawn, in how many seconds, stored, and where it can be had.

        Its prompt is listed as a stray until `strike`, so that no crash leaves it on the host.
        """
        # Without a drawing there is no prompt that could be a stray.
        is_drawing = ImageRequest.state == State.DRAWING
        query = (
            fence.advance(request, State.DRAWN)
            .where(is_drawing)
            .values(
                crashes=0,
                image=image.name,
                image_url=url,
                width=image.width,
                height=image.height,
                drawing_seconds=seconds,
            )
        )

        async def step(session: AsyncSession) -> None:
            await fence.held(session, query)
            await session.execute(_stray(request))

        await self._run(step)

    async def strike(self, request: Claimed) -> None:
        """Note that nothing of the prompt is left on its host."""
        query = delete(StrayPrompt).where(StrayPrompt.prompt_id == request.prompt_id)
        await self._run(lambda session: session.execute(query))

    async def finish(
        self, request: Claimed, *, send: Send | None = None, receipt: Receipt | None = None
    ) -> None:
        """Mark the request delivered and move the dialog's watermark, in one transaction."""

        async def step(session: AsyncSession) -> None:
            await session.execute(_locked_dialog(request))
            await fence.held(
                session,
                fence.advance(request, State.DELIVERED).values(
                    conversation=None,
                    telegram_message_id=receipt and receipt.message_id,
                    telegram_bot_id=receipt and receipt.bot_id,
                    telegram_file_id=receipt and receipt.file_id,
                    finished_at=func.clock_timestamp(),
                ),
            )
            if send is not None and receipt is not None:
                await session.execute(ledger.arrived(send, receipt))
                if receipt.chat_id != request.chat_id:
                    await session.execute(_moved_chat(request, receipt.chat_id))
            if request.moves_the_watermark:
                await session.execute(watermark.moved(request))

        await self._run(step)

    async def put_back(
        self, request: Claimed, *, costs_an_attempt: bool = False, most_attempts: int = 1
    ) -> bool:
        """Return the request to where it can be taken up again, unless its attempts are used up.

        Returns whether it may be; then the claim is let go, and otherwise it is still ours.
        """
        attempts = ImageRequest.attempts + int(costs_an_attempt)
        query = fence.rest(request, returning=ImageRequest.claim).values(
            attempts=attempts,
            claim=case((attempts >= most_attempts, ImageRequest.claim), else_=None)
            if costs_an_attempt
            else None,
        )
        claim = await self._run(lambda session: fence.held(session, query))
        return claim is None

    async def end(self, request: Claimed, state: State, error: ImagegenError) -> None:
        """End the request without a picture; the watermark stays, unless one may have arrived."""
        values: dict[str, Any] = {
            "error_code": error.code,
            "error_sentence": error.sentence,
            "finished_at": func.clock_timestamp(),
        }
        if state is not State.FAILED or not self._keeps_context:
            values["conversation"] = None

        async def step(session: AsyncSession) -> None:
            await session.execute(_locked_dialog(request))
            await fence.held(session, fence.advance(request, state).values(values))
            if error.may_have_arrived and request.moves_the_watermark:
                await session.execute(watermark.moved(request))

        await self._run(step)

    async def _run(self, step: Callable[[AsyncSession], Awaitable[ResultT]]) -> ResultT:
        return await transactions.run(self._sessions, step)


def _locked_dialog(request: Claimed) -> Select[int]:
    # Dialog, then request: the order in which the hook locks them too.
    return select(Dialog.id).where(Dialog.id == request.dialog_id).with_for_update(key_share=True)


def _moved_chat(request: Claimed, chat_id: int) -> Update:
    # Whoever still waits for a picture in the group that was is to get it in the one that is.
    return (
        update(ImageRequest)
        .where(ImageRequest.chat_id == request.chat_id, ImageRequest.state.in_(OPEN))
        .values(chat_id=chat_id)
    )


def _stray(request: Claimed) -> Insert:
    return (
        postgresql.insert(StrayPrompt)
        .values(prompt_id=request.prompt_id, host=request.host)
        .on_conflict_do_nothing()
    )


def _older(seconds: float) -> ColumnElement[bool]:
    span = func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    return ImageRequest.updated_at < func.clock_timestamp() - span


def _claimed(row: fence.AnyRow, *, proved_at: float) -> Claimed:
    fields = row._asdict()
    age_s = float(fields.pop("age_s"))
    state, kind = State(fields.pop("state")), Kind(fields.pop("kind"))
    made_at = time.monotonic() - age_s
    return Claimed(**fields, state=state, kind=kind, made_at=made_at, proved_at=proved_at)
