"""The life of a request at random: jobs that overtake each other, people who call off and retry."""

from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook import cancellation
from chatflow_hook.tables import Dialog, ImageRequest, Kind, State
from imagegen.delivery.message import SentMessage
from imagegen.errors import ImagegenError
from imagegen.pipeline.image_cache import CachedImage, ImageCache
from imagegen.requests.claim import ClaimedRequest, ClaimLost
from imagegen.requests.deliveries import Deliveries
from imagegen.requests.repository import RequestRepository
from imagegen.requests.retry import NotRetried, retry_request
from imagegen.requests.state_changes import FOLLOWS
from imagegen.storage.filesystem import FilesystemImageStore
from tests.support import conversations
from tests.support.drawing_plan import PLAN
from tests.support.request_steps import IMAGE

# As design section 4 draws it, written once more: the code's own table can't prove itself.
ARROWS = {
    # Drawn at once where the same picture was drawn before.
    "queued": {"queued", "drawing", "drawn"},
    # Sent at once where the image store is away; "finish" is two steps.
    "drawing": {"drawing", "queued", "drawn", "delivering", "delivered"},
    "drawn": {"drawn", "delivering", "delivered"},
    # To drawing again where the picture was in the memory of the job that sent it.
    "delivering": {"delivering", "drawn", "delivered", "drawing"},
    "delivered": {"delivered"},
    "failed": {"failed", "queued", "drawn"},
    "refused": {"refused"},
    "expired": {"expired"},
    "cancelled": {"cancelled"},
}
ENDS = {"failed", "refused", "expired", "cancelled"}
ENDED_BY = {"fail": State.FAILED, "refuse": State.REFUSED, "expire": State.EXPIRED}
MESSAGE_COUNT = 4
STEPS = (
    "claim",
    "wait",
    "start_drawing",
    "end_drawing",
    "keep",
    "reuse",
    "start_send",
    "finish",
    "finish_unsent",
    "put_back",
    "spend",
    "fail",
    "refuse",
    "expire",
    "cancel",
    "retry",
)
# What a job does next that nothing happens to.
ONWARDS = {
    "queued": "start_drawing",
    "drawing": "keep",
    "drawn": "start_send",
    "delivering": "finish",
    "failed": "retry",
}
# "on" often enough that a walk comes somewhere.
CHOICES = st.tuples(
    st.one_of(st.just("on"), st.just("on"), st.sampled_from(STEPS)),
    # Whose claim writes: mostly the newest, which is the only one that may.
    st.one_of(st.just(0), st.just(0), st.integers(1, 4)),
)


class Walk:
    """One request, and every claim that was ever made on it: each may write at any time."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._sessions = conversations.sessions_of(engine)
        self._reuse = ImageCache(engine, FilesystemImageStore(Path("never asked")))
        self._requests = RequestRepository(engine)
        self._ledger = Deliveries(engine)
        self._claims: list[ClaimedRequest] = []
        self.request_id = uuid4()
        self.dialog_id = self.request_id.int % 2**62

    async def begin(self) -> None:
        async with self._sessions.begin() as session:
            session.add(Dialog(id=self.dialog_id, message_count=MESSAGE_COUNT))
            session.add(
                ImageRequest(
                    id=self.request_id,
                    kind=Kind.AUTOMATIC,
                    dialog_id=self.dialog_id,
                    user_id=1,
                    chat_id=1,
                    persona="lina",
                    message_count=MESSAGE_COUNT,
                    conversation={"text": "hello"},
                )
            )
            # Whose picture may be taken.
            session.add(
                ImageRequest(
                    id=uuid4(),
                    kind=Kind.ASKED,
                    state=State.DELIVERED,
                    dialog_id=0,
                    user_id=1,
                    persona="lina",
                    message_count=1,
                    image=IMAGE.name,
                )
            )

    async def take(self, step: str, which: int) -> bool:
        """Take a step with one of the claims, counted from the newest; False if it was refused."""
        if step == "claim":
            claimed = await self._requests.claim(self.request_id)
            self._claims += [claimed] if claimed else []
        elif step == "cancel":
            async with self._sessions.begin() as session:
                which_row = ImageRequest.id == self.request_id
                await cancellation.cancel(await session.connection(), which_row)
        elif step == "retry":
            try:
                await retry_request(self._engine, None, self.request_id)
            except NotRetried:
                return False
        else:
            return which < len(self._claims) and await self._write(step, -1 - which)
        return True

    async def _write(self, step: str, which: int) -> bool:
        request = self._claims[which]
        try:
            if step in ENDED_BY:
                await self._requests.end_without_picture(
                    request, ENDED_BY[step], ImagegenError("It ended.")
                )
            elif step in {"start_drawing", "end_drawing"}:
                self._claims[which] = await self._redraw(step, request)
            else:
                await self._move(step, request)
        except ClaimLost:
            return False
        return True

    async def _redraw(self, step: str, request: ClaimedRequest) -> ClaimedRequest:
        if step == "start_drawing":
            return await self._requests.start_drawing(request, PLAN, host="gpu-1")
        return await self._requests.end_drawing(request, leaves_a_stray=False)

    async def _move(self, step: str, request: ClaimedRequest) -> None:
        match step:
            case "wait":
                await self._requests.mark_waiting(request)
            case "keep":
                await self._requests.mark_drawn(request, IMAGE, url=None, seconds=None)
            case "reuse":
                known = CachedImage(image=IMAGE, rating=PLAN.rating, seconds=2.0)
                await self._reuse.reuse(request, known, PLAN, url=None)
            case "start_send":
                await self._ledger.start(request)
            case "finish":
                send = await self._ledger.start(request)
                receipt = SentMessage(chat_id=1, message_id=7, file_id="a", bot_id=1)
                await self._requests.mark_delivered(request, send=send, receipt=receipt)
            case "finish_unsent":
                await self._requests.mark_delivered(request)
            case "put_back":
                await self._requests.put_back(request)
            case "spend":
                await self._requests.put_back(request, costs_an_attempt=True, most_attempts=3)

    async def seen(self) -> tuple[ImageRequest, Dialog]:
        both = (
            select(ImageRequest, Dialog)
            .join(Dialog, Dialog.id == ImageRequest.dialog_id)
            .where(ImageRequest.id == self.request_id)
        )
        async with self._sessions() as session:
            row, dialog = (await session.execute(both)).one()
            return row, dialog

    def is_fresh(self, which: int, claim: UUID | None) -> bool:
        return which < len(self._claims) and self._claims[-1 - which].claim == claim

    def onwards(self, row: ImageRequest) -> str:
        """Return the step that the newest claim would take, or one that makes a new claim."""
        if row.state != "failed" and not self.is_fresh(0, row.claim):
            return "claim"
        return ONWARDS.get(row.state, "claim")


@pytest.mark.timeout(120)
@given(st.lists(CHOICES, min_size=8, max_size=25))
@settings(
    max_examples=120,
    # All walks share the database, each has a request of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_no_order_of_steps_leaves_the_arrows_of_the_design(
    engine: AsyncEngine, steps: list[tuple[str, int]]
) -> None:
    walk = Walk(engine)
    await walk.begin()

    may_have_arrived = False
    was, _ = await walk.seen()
    for chosen, which in steps:
        step = walk.onwards(was) if chosen == "on" else chosen
        was_fresh = walk.is_fresh(which, was.claim)
        is_done = await walk.take(step, which)
        now, dialog = await walk.seen()

        assert now.state in ARROWS[was.state] | (ENDS if was.state not in ENDS else set())
        assert now.state in ARROWS["delivered"] or was.state != "delivered"
        if step not in {"claim", "cancel", "retry"} and not was_fresh:
            assert not is_done, "only the newest claim writes"
        assert now.draw - was.draw == (step == "start_drawing" and is_done)
        # A send that began may have arrived, if the request ends before it is known.
        may_have_arrived |= now.error_code == "delivery_unknown"
        assert (dialog.last_image_generation_at == MESSAGE_COUNT) == (
            now.state == "delivered" or may_have_arrived
        )
        if not is_done:
            assert conversations.columns(now) == conversations.columns(was), (
                "a step that is not allowed writes nothing"
            )
        if now.state == "drawn":
            assert now.image is not None
        if now.state in {"delivering", "delivered"} and now.image is None:
            assert now.prompt_id is not None, "nothing is sent that was not drawn"
        if now.state == "drawing":
            assert now.prompt_id is not None
        if now.state in {"delivered", "refused", "expired", "cancelled"}:
            assert now.conversation is None
        was = now


def test_the_table_of_the_code_has_no_arrow_that_the_design_does_not_draw() -> None:
    drawn = {(a, b) for a, after in FOLLOWS.items() for b in after}

    allowed = {(a, b) for a, after in ARROWS.items() for b in after | ENDS}
    assert {(str(a), str(b)) for a, b in drawn} <= allowed
    assert set(FOLLOWS) == {State.QUEUED, State.DRAWING, State.DRAWN, State.DELIVERING}
