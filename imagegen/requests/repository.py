"""What a job does to the row of a request: claim, start and end drawing, deliver, end."""

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    DateTime,
    Float,
    Integer,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook import safety_memory, user_erasure
from chatflow_hook.direct_query import DirectQuery
from chatflow_hook.tables import OPEN, ImageRequest, Kind, State, is_open, kinds_that
from chatflow_hook.turn import Rating
from imagegen.db.engine import all_rows, first, run_in_transaction, run_statement
from imagegen.delivery.errors import DeliveryUnknown
from imagegen.delivery.message import SentMessage
from imagegen.errors import ImagegenError
from imagegen.requests.claim import (
    SUSPECT_AFTER_CRASHES,
    ClaimedRequest,
    ClaimLost,
    ClaimState,
    DeliveryAttempt,
    StatusMessage,
)
from imagegen.requests.endings import EndAsDelivered, EndWithoutPicture, lock_dialog
from imagegen.requests.state_changes import (
    RELEASED,
    advance,
    advancing,
    end_wait,
    mark_waiting,
    new_values,
    ours,
    release,
    run_fenced,
    write,
)
from imagegen.requests.stray_statements import ADD_STRAY, REMOVE_STRAY, adding_strays
from imagegen.storage.store import StoredImage

ResultT = TypeVar("ResultT")

# For so long after the last proof a claim counts as ours. It is much shorter than a job's lease,
# and another job takes a request over only after the lease has ended.
_PROOF_HOLDS_S = 1.0

_COPIED = [
    column
    for column in ImageRequest.__table__.columns
    if column.name in ClaimedRequest.__dataclass_fields__
]

_AGE_S = func.extract("epoch", func.clock_timestamp() - ImageRequest.queued_at).label("age_s")
# A request of another kind is left to the newer workers, which know it.
_IS_OF_KNOWN_KIND = ImageRequest.kind.in_(list(Kind))


# A claim that was not released: the job that had it has crashed. It is no suspect if it only waited.
_CRASHES = case(
    (
        and_(
            ImageRequest.claim.is_not(None),
            ImageRequest.claim.is_distinct_from(ImageRequest.waiting_claim),
        ),
        ImageRequest.crashes + 1,
    ),
    else_=ImageRequest.crashes,
)

# Statements are built once: to build one takes longer than to run it.
_CLAIM = DirectQuery(
    update(ImageRequest)
    .where(
        ImageRequest.id == bindparam("request_id"),
        ImageRequest.state.in_(OPEN),
        _IS_OF_KNOWN_KIND,
    )
    .values(
        claim=bindparam("new_claim"),
        # A picture that was sent from the memory of a job that died is fetched or drawn again.
        state=case((ImageRequest.image.is_(None), RELEASED), else_=ImageRequest.state),
        crashes=_CRASHES,
        # A suspect waits until it is admitted beside other suspects.
        waiting_claim=case(
            (_CRASHES >= SUSPECT_AFTER_CRASHES, bindparam("new_claim", type_=Uuid())),
            else_=ImageRequest.waiting_claim,
        ),
        updated_at=func.clock_timestamp(),
    )
    .returning(
        *_COPIED,
        _AGE_S,
        safety_memory.may_exceed_safe(
            ImageRequest.user_id,
            ImageRequest.dialog_id,
            text_version=bindparam("age_text_version"),
        ).label("may_exceed_safe"),
        safety_memory.has_unread_turns(ImageRequest.user_id, ImageRequest.dialog_id).label(
            "has_unread_turns"
        ),
    )
)
_CLAIM_STATE = DirectQuery(
    select(
        ImageRequest.claim, ImageRequest.state, ImageRequest.finished_at, ImageRequest.prompt_id
    ).where(ImageRequest.id == bindparam("request_id"))
)
_MAY_EXCEED_SAFE = DirectQuery(
    select(
        safety_memory.may_exceed_safe(
            bindparam("user_id", type_=BigInteger),
            bindparam("dialog_id", type_=BigInteger),
            text_version=bindparam("age_text_version", type_=Text),
        ).label("may_exceed_safe")
    )
)
_FETCHABLE = DirectQuery(
    select(ImageRequest.image).where(
        ImageRequest.id == bindparam("request_id"),
        ImageRequest.state == State.DELIVERED,
        ImageRequest.chat_id.is_(None),
        ImageRequest.drawn_rating == Rating.SAFE,
        ImageRequest.image.is_not(None),
    )
)
_AFTER = tuple_(
    bindparam("after_created_at", type_=DateTime(timezone=True)), bindparam("after_id", type_=Uuid)
)
_SPAN = func.make_interval(0, 0, 0, 0, 0, 0, bindparam("silent_s", type_=Float))
# An open request to which nobody wrote for `silent_s` seconds.
IS_SILENT = and_(
    ImageRequest.state.in_(OPEN),
    _IS_OF_KNOWN_KIND,
    or_(
        ImageRequest.updated_at < func.clock_timestamp() - _SPAN,
        ImageRequest.updated_at > func.clock_timestamp(),
    ),
)
_SILENT_ROWS = (
    select(ImageRequest.created_at, ImageRequest.id, _AGE_S)
    .where(IS_SILENT)
    .order_by(ImageRequest.created_at, ImageRequest.id)
    .limit(bindparam("most", type_=Integer))
)
_SILENT = DirectQuery(_SILENT_ROWS)
_SILENT_AFTER = DirectQuery(
    _SILENT_ROWS.where(tuple_(ImageRequest.created_at, ImageRequest.id) > _AFTER)
)
_COUNT_SUSPECTS = select(func.count()).where(
    ImageRequest.state.in_(OPEN), ImageRequest.crashes >= SUSPECT_AFTER_CRASHES
)
_OF_OTHERS_IN_DIALOG = (
    ImageRequest.dialog_id == bindparam("dialog_id"),
    ImageRequest.id != bindparam("request_id"),
)
_LAST_PICTURE_IN_CHAT = (
    select(ImageRequest.persona_caption)
    .where(
        *_OF_OTHERS_IN_DIALOG,
        ImageRequest.chat_id.is_not(None),
        ImageRequest.kind.not_in(kinds_that(lambda kind: kind.is_document)),
        or_(
            ImageRequest.state == State.DELIVERED,
            ImageRequest.error_code == DeliveryUnknown.code,
            # Cancelled, but it had arrived.
            ImageRequest.telegram_message_id.is_not(None),
        ),
    )
    .order_by(ImageRequest.finished_at.desc().nulls_last())
    .limit(1)
)
# What may stand right before a picture that is sent now. An open request comes before it or after it.
_NEIGHBOURING_CAPTIONS = union_all(
    select(ImageRequest.persona_caption).where(*_OF_OTHERS_IN_DIALOG, ImageRequest.state.in_(OPEN)),
    select(_LAST_PICTURE_IN_CHAT.subquery().c.persona_caption),
)


def _mark_drawn() -> DirectQuery:
    """Return the statement that marks a request as drawn, and lists its prompt as a stray."""
    columns = [
        "crashes",
        "image",
        "album_images",
        "image_url",
        "width",
        "height",
        "drawing_seconds",
    ]
    # Only a request that is being drawn has a prompt that could be a stray.
    drawn = (
        advancing(State.DRAWN, {State.DRAWING}, columns)
        .returning(ImageRequest.id, ImageRequest.prompt_id, ImageRequest.host)
        .cte("drawn")
    )
    stray = adding_strays(select(drawn.c.prompt_id, drawn.c.host))
    return DirectQuery(select(drawn.c.id).add_cte(stray.cte("stray")))


_MARK_DRAWN = _mark_drawn()


@dataclass(frozen=True, kw_only=True)
class RequestCursor:
    """The position of a request in the order of age, the oldest first.

    `age_s` is how long it has been queued, in seconds; negative if PostgreSQL's clock was set back.
    """

    created_at: datetime
    request_id: UUID
    age_s: float


@dataclass(frozen=True, kw_only=True)
class DrawingPlan:
    """What is about to be drawn. `scene` is None if the prompt came without one."""

    seed: int
    cache_key: str
    rating: Rating
    scene: dict[str, Any] | None


class RequestRepository:
    """What a job does to the rows of image_requests; each method is one transaction.

    All methods raise Unavailable if PostgreSQL cannot be reached. Every method that writes to a
    claimed request raises ClaimLost if the request is not ours any more.
    `keeps_context`: a failed request keeps its conversation, so that an operator can retry it.
    `age_text_version`: the version of the age question that a user must have confirmed.
    """

    def __init__(
        self, engine: AsyncEngine, *, keeps_context: bool = True, age_text_version: str = "1"
    ) -> None:
        self._engine = engine
        self._keeps_context = keeps_context
        self._age_text_version = age_text_version

    async def claim(self, request_id: UUID) -> ClaimedRequest | None:
        """Claim an open request, even if another job has it.

        A suspect only waits until `end_wait`: if its worker dies before that, it is no crash.

        None: it has ended or is unknown, or its kind or its state is one that only a newer worker
        knows.
        """
        began = time.monotonic()
        values = {
            "request_id": request_id,
            "new_claim": uuid4(),
            "age_text_version": self._age_text_version,
        }
        row = await first(self._engine, _CLAIM, values)
        return None if row is None else _claimed_request(row, proved_at=began)

    async def may_exceed_safe(self, request: ClaimedRequest) -> bool:
        """Tell whether the user has confirmed their age and nothing learnt keeps the dialog safe."""
        values = {
            "user_id": request.user_id,
            "dialog_id": request.dialog_id,
            "age_text_version": self._age_text_version,
        }
        row = await first(self._engine, _MAY_EXCEED_SAFE, values)
        return row is not None and bool(row[0])

    async def find_fetchable_image(self, request_id: UUID) -> str | None:
        """Return the name of the image that the caller of a request without a chat may fetch now."""
        row = await first(self._engine, _FETCHABLE, {"request_id": request_id})
        return None if row is None else row.image

    async def find_silent(
        self, *, silent_s: float, after: RequestCursor | None, most: int
    ) -> list[RequestCursor]:
        """Return open requests of known kinds to which nobody wrote for so long, the oldest first.

        A request whose last write is in the future belongs to them: PostgreSQL's clock was set back,
        or a standby whose clock is behind has taken over.

        `silent_s`: how many seconds. `most`: how many requests at most. `after`: continue after
        this request; None: begin with the oldest.
        """
        values = {
            "silent_s": silent_s,
            "most": most,
            "after_created_at": None if after is None else after.created_at,
            "after_id": None if after is None else after.request_id,
        }
        return [
            RequestCursor(created_at=row.created_at, request_id=row.id, age_s=float(row.age_s))
            for row in await all_rows(
                self._engine, _SILENT if after is None else _SILENT_AFTER, values
            )
        ]

    async def count_suspects(self) -> int:
        """Return how many open requests are suspected of having killed their workers."""

        async def step(connection: AsyncConnection) -> int:
            return (await connection.execute(_COUNT_SUSPECTS)).scalar_one()

        return await self._run_statement(step)

    async def mark_waiting(self, request: ClaimedRequest) -> None:
        """Write down that the job only waits for a slot, until `start_drawing` or `end_wait`.

        If its worker dies meanwhile, that is no crash of this request. If it has no prompt on a
        host, its crashes are counted from 0 again: what the job did before has not killed the
        worker.

        Raises:
            ClaimLost: another job has claimed the request, or it has ended.
        """
        await mark_waiting(self._engine, request)

    async def end_wait(self, request: ClaimedRequest) -> None:
        """Write down that the job waits no longer: if its worker dies from now on, that is a crash.

        Call it before the prompt on a host is taken up, and when a suspect is admitted.

        Raises:
            ClaimLost: another job has claimed the request, or it has ended.
        """
        await end_wait(self._engine, request)

    async def note_status(self, request: ClaimedRequest, status: StatusMessage | None) -> None:
        """Write down which message tells the chat how far the request is; None for none any more.

        Raises:
            ClaimLost: another job has claimed the request, or it has ended.
        """
        await write(
            self._engine,
            request,
            status_message_id=None if status is None else status.message_id,
            status_is_protected=status is not None and status.is_protected,
        )

    async def start_drawing(
        self, request: ClaimedRequest, plan: DrawingPlan, *, host: str
    ) -> ClaimedRequest:
        """Write down what is about to be drawn on which host, under a new prompt id.

        Call it just before the prompt is sent.

        Raises:
            ClaimLost: another job has claimed the request, or it has ended.
        """
        draw, prompt_id = request.draw + 1, request.next_prompt_id
        began = time.monotonic()
        await advance(
            self._engine,
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
            waiting_claim=None,
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
        """Write down that the prompt has ended without an image; the request is queued again.

        `leaves_a_stray`: the prompt may still be on its host and has to be removed there.

        Raises:
            ClaimLost: another job has claimed the request, or it has ended.
        """

        async def step(connection: AsyncConnection) -> None:
            await advance(connection, request, State.QUEUED, prompt_id=None)
            if leaves_a_stray:
                await _add_stray(connection, request)

        await self._run(step)
        return replace(request, state=State.QUEUED, prompt_id=None)

    async def add_stray(self, request: ClaimedRequest) -> None:
        """Write down the prompt of a request that is not ours any more, so that it is removed later."""
        await _add_stray(self._engine, request)

    async def claim_state(self, request: ClaimedRequest) -> ClaimState:
        """Return what has become of the request since this job claimed it."""
        row = await first(self._engine, _CLAIM_STATE, {"request_id": request.id})
        if row is None or not is_open(row.state, row.finished_at):
            return ClaimState.ENDED
        if row.claim == request.claim:
            return ClaimState.OURS
        return ClaimState.TAKEN if row.prompt_id == request.prompt_id else ClaimState.ENDED

    async def is_erased(self, request: ClaimedRequest) -> bool:
        """Tell whether the row is gone, since everything of its user was erased."""
        return await first(self._engine, _CLAIM_STATE, {"request_id": request.id}) is None

    async def check_claim(self, request: ClaimedRequest, *, proved_at: float) -> None:
        """Make sure that the request is ours, just before something that others can see.

        Asks PostgreSQL only if the last proof is older than a second: this process may have been
        suspended since. `proved_at` is on the clock of time.monotonic.

        Raises:
            ClaimLost: another job has claimed the request, or it has ended.
        """
        if time.monotonic() - proved_at < _PROOF_HOLDS_S:
            return
        if await self.claim_state(request) is not ClaimState.OURS:
            raise ClaimLost("another job has this request now, or it has ended")

    async def choose_caption(
        self, request: ClaimedRequest, captions: Sequence[str], *, chance: random.Random
    ) -> str | None:
        """Choose one of the persona's captions and write it down; None if none is left.

        It is neither that of the dialog's last picture in the chat nor that of an open request. A
        request that is sent once more keeps its caption as long as this holds.

        Raises:
            ClaimLost: another job has claimed the request, or it has ended.
        """
        of_this = {"request_id": request.id, "dialog_id": request.dialog_id}

        async def step(connection: AsyncConnection) -> str | None:
            # Locked, so that two pictures of a dialog at the same moment have two captions.
            await lock_dialog(connection, request)
            neighbouring = set(await connection.scalars(_NEIGHBOURING_CAPTIONS, of_this))
            left = [caption for caption in captions if caption not in neighbouring]
            if request.persona_caption in left:
                return request.persona_caption
            caption = chance.choice(left) if left else None
            if caption != request.persona_caption:
                await write(connection, request, persona_caption=caption)
            return caption

        return await self._run(step)

    async def mark_drawn(
        self, request: ClaimedRequest, image: StoredImage, *, url: str | None, seconds: float | None
    ) -> None:
        """Write down that the image is drawn and stored, with those of its album.

        `url`: where it can be downloaded, None if nowhere. `seconds`: how long the drawing took,
        None if unknown. The prompt is listed as a stray until `remove_stray`, so that it is removed
        from the host even if this job crashes. If the claim is lost, the image is noted: it is
        erased unless another row names it.

        Raises:
            ClaimLost: another job has claimed the request, or it has ended.
        """
        drawn = {
            "crashes": 0,
            "image": image.name,
            "album_images": list(image.album) or None,
            "image_url": url,
            "width": image.width,
            "height": image.height,
            "drawing_seconds": seconds,
        }
        try:
            await run_fenced(self._engine, _MARK_DRAWN, {**ours(request), **new_values(drawn)})
        except ClaimLost:
            # If the request was erased, no row names the image. If another one does, it is kept.
            await self._run(lambda connection: user_erasure.note_images(connection, image.names))
            raise

    async def remove_stray(self, request: ClaimedRequest) -> None:
        """Take the prompt off the list of strays: nothing of it is left on its host."""
        await first(self._engine, REMOVE_STRAY, {"prompt_id": request.prompt_id})

    async def mark_delivered(
        self,
        request: ClaimedRequest,
        *,
        send: DeliveryAttempt | None = None,
        receipt: SentMessage | None = None,
        url: str | None = None,
    ) -> None:
        """Mark the request as delivered and move the dialog's watermark, in one transaction.

        `send` and `receipt` are None if the caller fetches the picture. `url` is where the worker
        serves it, None if it does not.

        Raises:
            ClaimLost: another job has claimed the request, or it has ended.
        """
        delivery = EndAsDelivered(
            send=send, receipt=receipt, url=url, keeps_own_prompt=self._keeps_context
        )
        await delivery.write(self._engine, request)

    async def put_back(
        self, request: ClaimedRequest, *, costs_an_attempt: bool = False, most_attempts: int = 1
    ) -> bool:
        """Release the request for another job, unless this was the last of `most_attempts`.

        Returns True if it was released. False: its attempts are used up, and it is still ours.

        Raises:
            ClaimLost: another job has claimed the request, or it has ended.
        """
        return await release(
            self._engine,
            request,
            attempts=int(costs_an_attempt),
            most_attempts=most_attempts,
        )

    async def end_without_picture(
        self, request: ClaimedRequest, state: State, error: ImagegenError
    ) -> ImagegenError | None:
        """End the request without a picture, unless one of its sends has or may have arrived.

        Returns the error that the request ends with. If a send may have arrived, that is
        DeliveryUnknown, the state is `failed`, and the watermark moves. None: a send is known to
        have arrived, so the request is delivered. A refused request loses its image and the
        image's address, since nobody may see it any more.

        Raises:
            ClaimLost: another job has claimed the request, or it has ended.
        """
        ending = EndWithoutPicture(state=state, error=error, keeps_conversation=self._keeps_context)
        return await self._run(lambda connection: ending.write(connection, request))

    async def _run(self, step: Callable[[AsyncConnection], Awaitable[ResultT]]) -> ResultT:
        return await run_in_transaction(self._engine, step)

    async def _run_statement(
        self, step: Callable[[AsyncConnection], Awaitable[ResultT]]
    ) -> ResultT:
        return await run_statement(self._engine, step)


async def _add_stray(database: AsyncEngine | AsyncConnection, request: ClaimedRequest) -> None:
    await first(database, ADD_STRAY, {"prompt_id": request.prompt_id, "host": request.host})


def _claimed_request(row: Any, *, proved_at: float) -> ClaimedRequest:
    fields = row._asdict()
    age_s = float(fields.pop("age_s"))
    state, kind = State(fields.pop("state")), Kind(fields.pop("kind"))
    made_at = time.monotonic() - age_s
    return ClaimedRequest(**fields, state=state, kind=kind, made_at=made_at, proved_at=proved_at)
