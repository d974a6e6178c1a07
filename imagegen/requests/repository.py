"""A row's life: claim, advance, finish."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4, uuid5

from sqlalchemy import (
    ColumnElement,
    Update,
    bindparam,
    case,
    delete,
    func,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook import age_confirmation, user_erasure
from chatflow_hook.tables import OPEN, Dialog, ImageRequest, Kind, State
from chatflow_hook.turn import Rating
from imagegen.db.engine import AnyRow, one_or_none, run_in_transaction, run_statement
from imagegen.db.tables import StrayPrompt
from imagegen.delivery.message import SentMessage
from imagegen.errors import ImagegenError
from imagegen.requests.claim import (
    ClaimedRequest,
    ClaimLost,
    ClaimState,
    DeliveryAttempt,
    advance,
    release,
)
from imagegen.requests.deliveries import mark_sent, move_watermark
from imagegen.storage.store import StoredImage

ResultT = TypeVar("ResultT")

# Much shorter than a lease: nobody takes over who has not waited for its end.
_PROOF_HOLDS_S = 1.0

_COPIED = [
    column
    for column in ImageRequest.__table__.columns
    if column.name in ClaimedRequest.__dataclass_fields__
]

# Built once: to build a statement takes longer than to run it.
_CLAIM = (
    update(ImageRequest)
    .where(ImageRequest.id == bindparam("request_id"), ImageRequest.state.in_(OPEN))
    .values(
        claim=bindparam("new_claim"),
        # A claim that nobody let go of: the job that had it has vanished.
        crashes=case(
            (ImageRequest.claim.is_not(None), ImageRequest.crashes + 1),
            else_=ImageRequest.crashes,
        ),
        updated_at=func.clock_timestamp(),
    )
    .returning(
        *_COPIED,
        func.extract("epoch", func.clock_timestamp() - ImageRequest.queued_at).label("age_s"),
        age_confirmation.is_confirmed(
            ImageRequest.user_id, text_version=bindparam("age_text_version")
        ).label("is_age_confirmed"),
    )
)
_STANDS = select(ImageRequest.claim, ImageRequest.state, ImageRequest.prompt_id).where(
    ImageRequest.id == bindparam("request_id")
)
_IMAGE = select(ImageRequest.image).where(ImageRequest.id == bindparam("request_id"))
# Dialog, then request: the order in which the hook locks them too.
_LOCK_DIALOG = (
    select(Dialog.id).where(Dialog.id == bindparam("dialog_id")).with_for_update(key_share=True)
)
_LEAVE = postgresql.insert(StrayPrompt).on_conflict_do_nothing()
_STRIKE = delete(StrayPrompt).where(StrayPrompt.prompt_id == bindparam("prompt_id"))


@dataclass(frozen=True, kw_only=True)
class RequestCursor:
    """Where a request stands among all, oldest first."""

    created_at: datetime
    request_id: UUID


@dataclass(frozen=True, kw_only=True)
class DrawingPlan:
    """What is about to be drawn."""

    seed: int
    cache_key: str
    rating: Rating
    scene: dict[str, Any] | None


class RequestRepository:
    """The worker's view of image_requests, one transaction a method.

    Every write but `claim` raises ClaimLost when the row is not ours any more. All raise
    Unavailable when PostgreSQL is away.
    """

    def __init__(
        self, engine: AsyncEngine, *, keeps_context: bool = True, age_text_version: str = "1"
    ) -> None:
        self._engine = engine
        self._keeps_context = keeps_context
        self._age_text_version = age_text_version

    async def claim(self, request_id: UUID) -> ClaimedRequest | None:
        """Take an open request, from whoever had it; None if there is nothing to do."""
        began = time.monotonic()
        values = {
            "request_id": request_id,
            "new_claim": uuid4(),
            "age_text_version": self._age_text_version,
        }
        row = await self._single(lambda connection: one_or_none(connection, _CLAIM, values))
        return None if row is None else _claimed(row, proved_at=began)

    async def has_confirmed_age(self, user_id: int) -> bool:
        """Return whether a user has confirmed the present text of the age question."""
        query = select(age_confirmation.is_confirmed(user_id, text_version=self._age_text_version))
        row = await self._single(lambda connection: one_or_none(connection, query))
        return row is not None and bool(row[0])

    async def find_silent(
        self, *, silent_s: float, after: RequestCursor | None, most: int
    ) -> list[RequestCursor]:
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

        async def step(connection: AsyncConnection) -> list[RequestCursor]:
            rows = await connection.execute(query)
            return [
                RequestCursor(created_at=created_at, request_id=id_) for created_at, id_ in rows
            ]

        return await self._single(step)

    async def start_drawing(
        self, request: ClaimedRequest, plan: DrawingPlan, *, host: str
    ) -> ClaimedRequest:
        """Note what is about to be drawn where, under a prompt id never used before."""
        draw = request.draw + 1
        prompt_id = uuid5(request.id, str(draw))
        began = time.monotonic()
        await self._single(
            lambda connection: advance(
                connection,
                request,
                State.DRAWING,
                host=host,
                draw=draw,
                prompt_id=prompt_id,
                seed=plan.seed,
                cache_key=plan.cache_key,
                drawn_rating=plan.rating,
                scene=plan.scene,
                crashes=0,
            )
        )
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

    async def end_drawing(self, request: ClaimedRequest, *, leaves_a_stray: bool) -> ClaimedRequest:
        """Note that the prompt came to nothing, and whether it may still be on its host."""

        async def step(connection: AsyncConnection) -> None:
            await advance(connection, request, State.QUEUED, prompt_id=None)
            if leaves_a_stray:
                await _leave(connection, request)

        await self._run(step)
        return replace(request, state=State.QUEUED, prompt_id=None)

    async def add_stray(self, request: ClaimedRequest) -> None:
        """Note a prompt of a request that is not ours any more, since nobody else knows of it."""
        await self._single(lambda connection: _leave(connection, request))

    async def claim_state(self, request: ClaimedRequest) -> ClaimState:
        """Say what has become of the request since it was claimed."""
        row = await self._single(
            lambda connection: one_or_none(connection, _STANDS, {"request_id": request.id})
        )
        if row is None or row.state not in OPEN:
            return ClaimState.ENDED
        if row.claim == request.claim:
            return ClaimState.OURS
        return ClaimState.TAKEN if row.prompt_id == request.prompt_id else ClaimState.ENDED

    async def check_claim(self, request: ClaimedRequest, *, proved_at: float) -> None:
        """Make sure that the request is ours, just before something that others can see.

        Asks only if the last proof is not fresh: this process may have stood still since. Raises
        ClaimLost.
        """
        if time.monotonic() - proved_at < _PROOF_HOLDS_S:
            return
        if await self.claim_state(request) is not ClaimState.OURS:
            raise ClaimLost("another job has this request now, or it has ended")

    async def mark_drawn(
        self, request: ClaimedRequest, image: StoredImage, *, url: str | None, seconds: float | None
    ) -> None:
        """Note that the picture is drawn, in how many seconds, stored, and where it can be had.

        Its prompt is listed as a stray until `remove_stray`, so that no crash leaves it on the host.
        """

        async def step(connection: AsyncConnection) -> None:
            await advance(
                connection,
                request,
                State.DRAWN,
                # Without a drawing there is no prompt that could be a stray.
                out_of=State.DRAWING,
                crashes=0,
                image=image.name,
                image_url=url,
                width=image.width,
                height=image.height,
                drawing_seconds=seconds,
            )
            await _leave(connection, request)

        await self._run(step)

    async def remove_stray(self, request: ClaimedRequest) -> None:
        """Note that nothing of the prompt is left on its host."""
        of_this = {"prompt_id": request.prompt_id}
        await self._single(lambda connection: connection.execute(_STRIKE, of_this))

    async def finish(
        self,
        request: ClaimedRequest,
        *,
        send: DeliveryAttempt | None = None,
        receipt: SentMessage | None = None,
    ) -> None:
        """Mark the request delivered and move the dialog's watermark, in one transaction."""

        async def step(connection: AsyncConnection) -> None:
            await connection.execute(_LOCK_DIALOG, {"dialog_id": request.dialog_id})
            await advance(
                connection,
                request,
                State.DELIVERED,
                conversation=None,
                telegram_message_id=receipt and receipt.message_id,
                telegram_bot_id=receipt and receipt.bot_id,
                telegram_file_id=receipt and receipt.file_id,
            )
            if send is not None and receipt is not None:
                await mark_sent(connection, send, receipt)
                if receipt.chat_id != request.chat_id:
                    await connection.execute(_moved_chat(request, receipt.chat_id))
            if request.kind.moves_watermark:
                await move_watermark(connection, request)

        await self._run(step)

    async def put_back(
        self, request: ClaimedRequest, *, costs_an_attempt: bool = False, most_attempts: int = 1
    ) -> bool:
        """Return the request to where it can be taken up again, unless its attempts are used up.

        Returns whether it may be; then the claim is let go, and otherwise it is still ours.
        """
        attempts = ImageRequest.attempts + int(costs_an_attempt)
        is_spent = case((attempts >= most_attempts, ImageRequest.claim), else_=None)
        claim = await self._single(
            lambda connection: release(
                connection,
                request,
                returning=ImageRequest.claim,
                attempts=attempts,
                claim=is_spent if costs_an_attempt else None,
            )
        )
        return claim is None

    async def end(self, request: ClaimedRequest, state: State, error: ImagegenError) -> None:
        """End the request without a picture; the watermark stays, unless one may have arrived.

        A refused one lets a picture go that it has: nobody may have it, by an address neither.
        """
        values: dict[str, Any] = {
            "error_code": error.code,
            "error_sentence": error.sentence,
        }
        if state is not State.FAILED or not self._keeps_context:
            values["conversation"] = None
        if state is State.REFUSED:
            values |= {"image": None, "image_url": None}

        async def step(connection: AsyncConnection) -> None:
            await connection.execute(_LOCK_DIALOG, {"dialog_id": request.dialog_id})
            image = await connection.scalar(_IMAGE, {"request_id": request.id})
            await advance(connection, request, state, **values)
            if state is State.REFUSED and image is not None:
                await user_erasure.note_images(connection, [image])
            if error.may_have_arrived and request.kind.moves_watermark:
                await move_watermark(connection, request)

        await self._run(step)

    async def _run(self, step: Callable[[AsyncConnection], Awaitable[ResultT]]) -> ResultT:
        return await run_in_transaction(self._engine, step)

    async def _single(self, step: Callable[[AsyncConnection], Awaitable[ResultT]]) -> ResultT:
        return await run_statement(self._engine, step)


def _moved_chat(request: ClaimedRequest, chat_id: int) -> Update:
    # Whoever still waits for a picture in the group that was is to get it in the one that is.
    return (
        update(ImageRequest)
        .where(ImageRequest.chat_id == request.chat_id, ImageRequest.state.in_(OPEN))
        .values(chat_id=chat_id)
    )


async def _leave(connection: AsyncConnection, request: ClaimedRequest) -> None:
    await connection.execute(_LEAVE, {"prompt_id": request.prompt_id, "host": request.host})


def _older(seconds: float) -> ColumnElement[bool]:
    span = func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    return ImageRequest.updated_at < func.clock_timestamp() - span


def _claimed(row: AnyRow, *, proved_at: float) -> ClaimedRequest:
    fields = row._asdict()
    age_s = float(fields.pop("age_s"))
    state, kind = State(fields.pop("state")), Kind(fields.pop("kind"))
    made_at = time.monotonic() - age_s
    return ClaimedRequest(**fields, state=state, kind=kind, made_at=made_at, proved_at=proved_at)
