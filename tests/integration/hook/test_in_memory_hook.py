"""InMemoryHook answers as ChatFlowHook does on a real PostgreSQL, scene by scene and at random."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook import (
    Button,
    ButtonAnswer,
    ChatFlowHook,
    DatabaseFault,
    Forgotten,
    Limited,
    NothingToVary,
    Picture,
    Request,
    SentPhoto,
    StoppedDraft,
    messages,
)
from chatflow_hook.drafts import draft_id
from chatflow_hook.ends import EndTimes, RequestEnd
from chatflow_hook.handles import Handle
from chatflow_hook.queue import QUEUE, ended_channel
from chatflow_hook.tables import NOBODY, EndListening, ImageRequest, Kind, State
from chatflow_hook.testing import InMemoryHook
from chatflow_hook.turn import Rating
from imagegen.delivery.message import SentMessage
from imagegen.errors import Rejected
from imagegen.requests.deliveries import Deliveries
from imagegen.requests.repository import RequestRepository
from imagegen.storage.store import StoredImage
from tests.support import conversations
from tests.support.conversations import Sessions, turn
from tests.support.drawing_plan import PLAN
from tests.support.patience import PATIENCE_S

Failure = Literal["failed", "refused", "expired"]
FAILURES: tuple[Failure, ...] = ("failed", "refused", "expired")
SETTINGS = {
    "image_trigger_min": 3,
    "image_trigger_max": 3,
    "images_per_user_per_day": 6,
    "asked_images_per_minute": 2,
}
COVERS = 2
PHOTO = 77
WHY = "It did not work."
SENTENCES = {
    "failed": "The picture did not work out this time. Ask me for another one.",
    "refused": "I would rather not send a picture here. Let's talk about something else.",
    "expired": "The picture took too long, so it was called off. Ask me again in a moment.",
}


class Worker(Protocol):
    """What a worker does with requests, and which ones were enqueued for it."""

    async def deliver(self, request: Request) -> None: ...

    async def fail(self, request: Request, state: Failure) -> None: ...

    async def enqueued(self) -> set[UUID]: ...


@dataclass(frozen=True, kw_only=True)
class RealWorker:
    """The steps of a job on the real rows, without hosts and Telegram."""

    engine: AsyncEngine
    redis_url: str

    async def deliver(self, request: Request) -> None:
        await self._deliver(request)
        async with Redis.from_url(self.redis_url, db=4) as redis:
            await redis.publish(ended_channel(request.id), "ended")

    async def _deliver(self, request: Request) -> None:
        requests = RequestRepository(self.engine)
        claimed = await requests.claim(request.id)
        assert claimed is not None
        if claimed.drawn is None:
            is_own = bool((claimed.conversation or {}).get("prompt"))
            plan = replace(PLAN, scene={"source": "own" if is_own else "template"})
            claimed = await requests.start_drawing(claimed, plan, host="gpu-1:8188")
            image = StoredImage(name=f"{request.id.hex * 2}.png", width=832, height=1216)
            await requests.mark_drawn(claimed, image, url=None, seconds=1)
        if claimed.chat_id is None:
            await requests.mark_delivered(claimed)
            return
        send = await Deliveries(self.engine).start(claimed)
        receipt = SentMessage(message_id=PHOTO, bot_id=1, file_id="AgAC", chat_id=claimed.chat_id)
        await requests.mark_delivered(claimed, send=send, receipt=receipt)

    async def fail(self, request: Request, state: Failure) -> None:
        requests = RequestRepository(self.engine)
        claimed = await requests.claim(request.id)
        assert claimed is not None
        await requests.end_without_picture(claimed, State(state), Rejected(WHY, code="some_code"))

    async def enqueued(self) -> set[UUID]:
        async with Redis.from_url(self.redis_url, db=3) as redis:
            return {UUID(job.decode()) for job in await redis.zrange(QUEUE, 0, -1)}


@dataclass(frozen=True, kw_only=True)
class StandInWorker:
    """What a test of a bot does in place of a worker."""

    hook: InMemoryHook

    async def deliver(self, request: Request) -> None:
        recorded = {each.request.id: each for each in self.hook.requests}[request.id]
        is_photo = recorded.turn.chat_id is not None
        self.hook.finish(request, telegram_message_id=PHOTO if is_photo else None)

    async def fail(self, request: Request, state: Failure) -> None:
        self.hook.fail(request, error_code="some_code", detail=WHY, state=state)

    async def enqueued(self) -> set[UUID]:
        return {each.request.id for each in self.hook.requests if each.is_enqueued}


@dataclass(frozen=True, kw_only=True)
class Side:
    hook: ChatFlowHook
    worker: Worker
    engine: AsyncEngine | None = None

    async def until_listening(self) -> None:
        """Wait until `on_end` has begun: what ended before is not told."""
        if self.engine is None:
            return
        async with asyncio.timeout(PATIENCE_S), self.engine.connect() as connection:
            while True:
                if (await connection.execute(select(EndListening.id))).one_or_none() is not None:
                    return
                await asyncio.sleep(0.01)


async def have_covers(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        session.add_all(
            ImageRequest(
                id=uuid4(),
                kind=Kind.COVER,
                state=State.DELIVERED,
                dialog_id=NOBODY,
                user_id=NOBODY,
                persona="lina",
                message_count=number,
                image=f"{number:064}.png",
                width=832,
                height=1216,
                seed=1,
                drawn_rating=Rating.SAFE,
                scene={"source": "template"},
            )
            for number in range(COVERS)
        )


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Makes the real hook and the stand-in with the same settings."""

    engine: AsyncEngine
    sessions: Sessions
    database_url: str
    redis_url: str

    def real(self, chance: random.Random | None = None, **changes: Any) -> Side:
        settings = conversations.hook_settings(
            self.database_url, self.redis_url, **(SETTINGS | changes)
        )
        worker = RealWorker(engine=self.engine, redis_url=self.redis_url)
        return Side(
            hook=ChatFlowHook(
                settings, chance=chance, turn_timeout_s=PATIENCE_S, end_times=EndTimes(poll_s=0.02)
            ),
            worker=worker,
            engine=self.engine,
        )

    def stand_in(self, chance: random.Random | None = None, **changes: Any) -> Side:
        hook = InMemoryHook(**(SETTINGS | changes), covers={"lina": COVERS}, chance=chance)
        return Side(hook=hook, worker=StandInWorker(hook=hook))


@pytest.fixture
def sides(engine: AsyncEngine, sessions: Sessions, database_url: str, redis_url: str) -> Sides:
    return Sides(engine=engine, sessions=sessions, database_url=database_url, redis_url=redis_url)


@pytest.fixture(params=["real", "stand_in"])
async def side(request: pytest.FixtureRequest, sides: Sides) -> AsyncIterator[Side]:
    """First the real hook and then the stand-in; a picture is due at every third message."""
    await have_covers(sides.sessions)
    side: Side = getattr(sides, request.param)()
    async with connected(side.hook):
        yield side


@asynccontextmanager
async def connected(hook: ChatFlowHook) -> AsyncIterator[None]:
    """Have a hook whose connection is open: on a busy machine that alone may cost a turn's time."""
    async with hook:
        await hook.has_confirmed_age(1)
        yield


async def say(hook: ChatFlowHook, times: int, **changes: Any) -> list[Request | None]:
    return [await hook.on_turn(turn(**changes)) for _ in range(times)]


async def due(hook: ChatFlowHook, **changes: Any) -> Request:
    *_, request = await say(hook, 3, **changes)
    assert request is not None
    return request


async def asked(hook: ChatFlowHook, dialog_id: int = 1, **changes: Any) -> Request:
    request = await hook.ask(turn(dialog_id, **changes))
    assert isinstance(request, Request)
    return request


async def seen(hook: ChatFlowHook, request: Request) -> Picture:
    return await hook.wait(request, timeout=0)


async def test_the_third_message_brings_a_request(side: Side) -> None:
    first, second, third = await say(side.hook, 3)

    assert (first, second) == (None, None)
    assert third is not None
    assert (third.dialog_id, third.message_count) == (1, 3)
    assert (await seen(side.hook, third)).state == "queued"
    assert await side.worker.enqueued() == {third.id}


async def test_in_a_transaction_of_the_bot_the_worker_is_told_by_enqueue(
    side: Side, sessions: Sessions
) -> None:
    await say(side.hook, 2)
    async with sessions.begin() as session:
        request = await side.hook.on_turn(turn(), session)
    enqueued_before = await side.worker.enqueued()

    await side.hook.enqueue(request)

    assert request is not None
    assert (enqueued_before, await side.worker.enqueued()) == (set(), {request.id})


async def test_there_is_nothing_to_tell_of_none_or_of_a_request_that_was_rolled_back(
    side: Side,
) -> None:
    await side.hook.enqueue(None)
    await side.hook.enqueue(Request(id=uuid4(), dialog_id=1, message_count=3))


async def test_a_session_of_another_kind_is_misuse(side: Side) -> None:
    with pytest.raises(TypeError, match="AsyncSession"):
        await side.hook.on_turn(turn(), "session")  # type: ignore[arg-type] # misuse on purpose


async def test_a_refresh_never_counts(side: Side) -> None:
    await say(side.hook, 2)

    assert await say(side.hook, 5, is_refresh=True) == [None] * 5
    assert (await say(side.hook, 1))[0] is not None


async def test_the_same_message_gives_the_same_request_and_counts_once(side: Side) -> None:
    answers = [
        await side.hook.on_turn(turn(reply_to_message_id=number)) for number in (1, 1, 2, 3, 3)
    ]

    assert answers[:3] == [None] * 3
    assert answers[3] is not None
    assert answers[3] == answers[4]


async def test_the_bots_own_count_is_taken(side: Side) -> None:
    assert await side.hook.on_turn(turn(message_count=0)) is None

    first = await side.hook.on_turn(turn(message_count=3))
    again = await side.hook.on_turn(turn(message_count=3))

    assert first is not None
    assert first == again


async def test_a_count_of_both_roles_is_halved(side: Side) -> None:
    answers = [
        await side.hook.on_turn(turn(message_count=count, counts_both_roles=True))
        for count in (3, 5, 7, 7)
    ]

    assert answers[:2] == [None, None]
    assert answers[2] is not None
    assert (answers[2].message_count, answers[3]) == (3, answers[2])


async def test_an_old_dialog_starts_counting_at_its_first_message(side: Side) -> None:
    answers = [await side.hook.on_turn(turn(message_count=count)) for count in range(400, 404)]

    assert [answer and answer.message_count for answer in answers] == [None, None, None, 403]


async def test_a_dialog_that_begins_anew_passes_the_count_of_an_old_picture(side: Side) -> None:
    old = await side.hook.on_turn(turn(message_count=3))
    assert old is not None
    await side.worker.deliver(old)

    answers = [await side.hook.on_turn(turn(message_count=count)) for count in (1, 2, 3)]

    assert answers[:2] == [None, None]
    assert answers[2] is not None
    assert answers[2].id != old.id


async def test_a_dialog_that_begins_anew_takes_the_picture_that_is_under_way_along(
    side: Side,
) -> None:
    await side.hook.on_turn(turn(message_count=9))  # an old dialog starts counting here
    request = await side.hook.on_turn(turn(message_count=12))
    assert request is not None
    await side.hook.on_turn(turn(message_count=1))
    await side.worker.deliver(request)

    answers = [await side.hook.on_turn(turn(message_count=count)) for count in (2, 3, 4)]

    assert answers[:2] == [None, None]
    assert answers[2] is not None


async def test_after_a_delivered_picture_the_trigger_counts_anew(side: Side) -> None:
    request = await due(side.hook)
    under_way = await say(side.hook, 1)

    await side.worker.deliver(request)

    fifth, sixth = await say(side.hook, 2)
    assert (under_way, fifth) == ([None], None)
    assert sixth is not None
    assert sixth.message_count == 6


@pytest.mark.parametrize("state", FAILURES)
async def test_after_a_picture_that_did_not_come_the_distance_is_kept(
    side: Side, state: Failure
) -> None:
    request = await due(side.hook)

    await side.worker.fail(request, state)

    picture = await seen(side.hook, request)
    assert (picture.state, picture.error_code) == (state, "some_code")
    assert picture.message == SENTENCES[state]
    assert picture.detail is not None
    assert ("some_code" if state == "refused" else WHY) in picture.detail
    fourth, fifth, sixth = await say(side.hook, 3)
    assert (fourth, fifth) == (None, None)
    assert sixth is not None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"text": "  "}, "empty_message"),
        ({"text": "x" * 100_000}, "message_too_long"),
        ({"text": None}, "empty_message"),
        ({"persona": ""}, "unknown_persona"),
        ({"persona": None}, "unknown_persona"),
    ],
)
async def test_what_can_never_be_drawn_has_failed_at_once(
    side: Side, changes: dict[str, Any], code: str
) -> None:
    request = await due(side.hook, **changes)

    picture = await side.hook.wait(request, timeout=60)

    assert (picture.state, picture.error_code) == ("failed", code)
    assert picture.message


async def test_a_delivered_picture_says_what_is_known_of_it(side: Side) -> None:
    in_chat, for_caller = await asked(side.hook), await asked(side.hook, 2, chat_id=None)

    for request in (in_chat, for_caller):
        await side.worker.deliver(request)

    delivered = Picture(
        state=State.DELIVERED,
        error_code=None,
        message=None,
        url=None,
        width=832,
        height=1216,
        seed=1,
        telegram_message_id=PHOTO,
    )
    assert await seen(side.hook, in_chat) == delivered
    assert await seen(side.hook, for_caller) == replace(delivered, telegram_message_id=None)


async def test_wait_returns_when_the_request_ends(side: Side) -> None:
    request = await due(side.hook)
    waits = asyncio.create_task(side.hook.wait(request, timeout=60))
    await asyncio.sleep(0)

    await side.worker.deliver(request)

    assert (await waits).state == "delivered"


async def test_wait_returns_what_is_known_when_its_time_is_over(side: Side) -> None:
    request = await due(side.hook)

    assert (await side.hook.wait(request, timeout=0.01)).state == "queued"
    assert (await side.hook.wait(request, timeout=-1)).state == "queued"


async def test_wait_knows_no_request_that_is_not_there(side: Side) -> None:
    request = await due(side.hook)
    await side.hook.forget_user(1001)

    with pytest.raises(LookupError):
        await side.hook.wait(request, timeout=60)


async def test_a_picture_that_is_asked_for_counts_nothing_and_moves_the_trigger(
    side: Side,
) -> None:
    await say(side.hook, 2)
    request = await asked(side.hook)
    await side.worker.deliver(request)

    third, fourth, fifth = await say(side.hook, 3)

    assert request.message_count == 2
    assert await side.worker.enqueued() >= {request.id}
    assert (third, fourth) == (None, None)
    assert fifth is not None


async def test_who_asks_too_often_is_told_when_the_next_one_is_free(side: Side) -> None:
    began = datetime.now(UTC)
    first = await asked(side.hook)
    await asked(side.hook, 2, user_id=1001)

    limited = await side.hook.ask(turn(3, user_id=1001))

    assert isinstance(limited, Limited)
    minute = timedelta(minutes=1)
    assert began + minute <= limited.free_at <= datetime.now(UTC) + minute
    await side.worker.fail(first, "failed")  # costs nothing
    await asked(side.hook, 3, user_id=1001)


async def test_who_asks_again_while_the_last_picture_is_under_way_gets_that_one(
    side: Side,
) -> None:
    await asked(side.hook)
    last = await asked(side.hook, 2, user_id=1001)

    assert await side.hook.ask(turn(2, user_id=1001)) == last


async def test_the_day_counts_pictures_of_every_dialog_but_no_covers(side: Side) -> None:
    for dialog_id in range(1, 7):
        await due(side.hook, dialog_id=dialog_id, user_id=9)
    cover = await side.hook.on_dialog_start(turn(7, user_id=9, text=""))

    assert cover is not None
    assert await say(side.hook, 4, dialog_id=8, user_id=9) == [None] * 4
    assert isinstance(await side.hook.ask(turn(8, user_id=9)), Limited)


async def test_a_delivered_picture_can_be_varied(side: Side) -> None:
    request = await asked(side.hook)
    await side.worker.deliver(request)

    varied = await side.hook.vary(request.id)

    assert isinstance(varied, Request)
    assert varied.id != request.id
    assert (varied.dialog_id, varied.message_count) == (1, request.message_count)
    assert await side.worker.enqueued() >= {varied.id}
    assert isinstance(await side.hook.vary(request.id), Limited)


async def test_only_a_delivered_picture_can_be_varied(side: Side) -> None:
    own = await asked(side.hook, prompt="she repairs a bicycle")
    under_way = await asked(side.hook, 2)
    await side.worker.deliver(own)

    assert isinstance(await side.hook.vary(own.id), Request)
    for request_id in (under_way.id, uuid4()):
        with pytest.raises(NothingToVary):
            await side.hook.vary(request_id)


async def test_whoever_is_named_can_vary_a_picture_of_their_own_only(side: Side) -> None:
    request = await asked(side.hook)
    await side.worker.deliver(request)
    photo = SentPhoto(chat_id=1001, message_id=PHOTO)

    with pytest.raises(NothingToVary, match=r"of what request of message \d+ in chat 1001 shows"):
        await side.hook.vary(photo, user_id=1002)
    assert isinstance(await side.hook.vary(photo, user_id=1001), Request)


async def test_who_asks_again_in_a_dialog_gets_the_open_request_and_no_automatic_one(
    side: Side,
) -> None:
    first = await asked(side.hook)

    assert await asked(side.hook) == first
    assert await say(side.hook, 5) == [None] * 5


async def test_a_picture_that_is_asked_for_takes_the_place_of_an_automatic_one_that_waits(
    side: Side,
) -> None:
    automatic = await due(side.hook)

    await asked(side.hook)

    assert (await side.hook.status(automatic)).state is State.CANCELLED


@pytest.mark.parametrize("button", [Button.ANOTHER, Button.FILE])
async def test_a_button_brings_one_request_however_often_it_is_pressed(
    side: Side, button: Button
) -> None:
    picture = await asked(side.hook)
    await side.worker.deliver(picture)

    answers = [await pressed(side.hook, button, picture, press_id="1") for _ in range(2)]
    assert answers[0].request is not None
    await side.worker.deliver(answers[0].request)
    again = await pressed(side.hook, button, picture, press_id="1")

    assert answers[1] == again == replace(answers[0], request=None)


async def test_who_presses_what_is_answered_alike(side: Side) -> None:
    picture = await asked(side.hook)
    await side.worker.deliver(picture)

    answers = [
        await pressed(side.hook, Button.HIDE, picture, user_id=9),
        await pressed(side.hook, Button.HIDE, picture, chat_id=9),
        await pressed(side.hook, Button.HIDE, picture),
        await pressed(side.hook, Button.REPORT, picture, user_id=9, language="ru"),
        await pressed(side.hook, Button.ANOTHER, picture),
    ]
    unknown = await side.hook.on_button("pic9:x", user_id=1001, chat_id=1001)
    others = await side.hook.on_button("menu", user_id=1001, chat_id=1001)

    assert [answer.show_alert for answer in answers] == [True, True, False, False, False]
    assert [answer.deletes_message for answer in answers] == [False, False, True, True, True]
    assert "Спасибо" in answers[3].text
    assert unknown is not None
    assert unknown.show_alert
    assert others is None


async def test_a_press_under_a_picture_that_is_not_there_yet_is_told_to_come_again(
    side: Side,
) -> None:
    picture = await asked(side.hook)

    answer = await pressed(side.hook, Button.HIDE, picture)

    assert answer.text == messages.shipped().text("button_later", language=None)
    assert (answer.show_alert, answer.deletes_message) == (True, False)


async def test_a_button_of_another_version_does_nothing(side: Side) -> None:
    picture = await asked(side.hook)
    await side.worker.deliver(picture)

    data = Button.HIDE.data(picture.id).replace("pic1", "pic9")
    answer = await side.hook.on_button(data, user_id=1001, chat_id=1001)

    assert answer is not None
    assert answer.text == messages.shipped().text("button_unknown", language=None)
    assert (answer.show_alert, answer.deletes_message) == (True, False)


@pytest.mark.parametrize("button", [Button.HIDE, Button.REPORT])
async def test_a_file_under_way_is_called_off_with_its_picture(side: Side, button: Button) -> None:
    picture = await asked(side.hook)
    await side.worker.deliver(picture)
    file = (await pressed(side.hook, Button.FILE, picture)).request
    assert file is not None

    await pressed(side.hook, button, picture)

    assert (await side.hook.status(file)).state is State.CANCELLED


async def test_a_draft_names_its_picture_until_that_has_ended(side: Side) -> None:
    request = await asked(side.hook)
    draft = StoppedDraft(chat_id=1001, draft_id=draft_id(request.id))

    assert [await side.hook.cancel(draft) for _ in range(2)] == [True, False]
    with pytest.raises(LookupError):
        await side.hook.status(draft)


async def pressed(
    hook: ChatFlowHook, button: Button, picture: Request, **changes: Any
) -> ButtonAnswer:
    usual = {"user_id": 1001, "chat_id": 1001}
    answer = await hook.on_button(button.data(picture.id), **(usual | changes))
    assert answer is not None
    return answer


async def test_a_picture_is_named_by_its_id_or_by_its_photo_in_the_chat(side: Side) -> None:
    request = await asked(side.hook)
    await side.worker.deliver(request)
    photo = SentPhoto(chat_id=1001, message_id=PHOTO)
    picture = await seen(side.hook, request)

    for handle in (request.id, str(request.id), photo):
        assert await side.hook.wait(handle, timeout=0) == picture
        assert await side.hook.status(handle) == picture
        assert not await side.hook.cancel(handle)
    assert isinstance(await side.hook.vary(photo), Request)


@pytest.mark.parametrize(
    "handle", [UUID(int=9), "no id", SentPhoto(chat_id=1001, message_id=PHOTO + 1)], ids=str
)
async def test_a_handle_of_no_request_finds_none(side: Side, handle: Handle) -> None:
    request = await asked(side.hook)
    await side.worker.deliver(request)

    for look in (side.hook.wait(handle, timeout=60), side.hook.status(handle)):
        with pytest.raises(LookupError):
            await look
    with pytest.raises(NothingToVary):
        await side.hook.vary(handle)
    assert not await side.hook.cancel(handle)


async def test_each_end_is_told(side: Side) -> None:
    delivered, failed, cancelled = [await due(side.hook, dialog_id=number) for number in (1, 2, 3)]
    ends: asyncio.Queue[RequestEnd] = asyncio.Queue()
    listens = asyncio.create_task(side.hook.on_end(ends.put))
    await side.until_listening()

    await side.worker.deliver(delivered)
    await side.worker.fail(failed, "failed")
    await side.hook.cancel(cancelled)

    told: dict[Request, RequestEnd] = {}
    async with asyncio.timeout(PATIENCE_S):
        while len(told) < 3:
            end = await ends.get()
            told[end.request] = end
    listens.cancel()
    await asyncio.wait({listens})
    assert {request: end.picture.state for request, end in told.items()} == {
        delivered: "delivered",
        failed: "failed",
        cancelled: "cancelled",
    }
    for request, end in told.items():
        assert end.picture == await seen(side.hook, request)
        user_id = 1000 + request.dialog_id
        assert (end.kind, end.user_id, end.chat_id, end.persona) == (
            "automatic",
            user_id,
            user_id,
            "lina",
        )


async def test_a_dialog_begins_with_another_cover_each_time_and_counts_nothing(
    side: Side,
) -> None:
    first = await side.hook.on_dialog_start(turn(text=""))
    second = await side.hook.on_dialog_start(turn(text=""))

    assert first is not None
    assert second is not None
    assert first != second
    assert first.message_count == 0
    assert (await seen(side.hook, first)).state == "drawn"
    assert await side.hook.on_dialog_start(turn(text="", persona="may")) is None
    assert (await say(side.hook, 3))[2] is not None


async def test_cancel_ends_an_open_request_once(side: Side) -> None:
    request = await due(side.hook)

    answers = [await side.hook.cancel(request) for _ in range(2)]

    picture = await seen(side.hook, request)
    assert answers == [True, False]
    assert (picture.state, picture.error_code) == ("cancelled", "cancelled")
    assert picture.message == "The picture was called off."
    assert not await side.hook.cancel(Request(id=uuid4(), dialog_id=1, message_count=1))


async def test_an_age_is_confirmed_until_it_is_revoked(side: Side) -> None:
    answers = []
    for step in (
        None,
        side.hook.revoke_age(5),
        side.hook.confirm_age(5, language="ru"),
        side.hook.confirm_age(5),
        side.hook.revoke_age(5),
        side.hook.confirm_age(5),
        side.hook.forget_user(5),
    ):
        if step is not None:
            await step
        answers.append(await side.hook.has_confirmed_age(5))

    assert answers == [False, False, True, True, False, True, False]


async def test_what_was_of_a_user_is_erased_and_counted(side: Side) -> None:
    delivered = await asked(side.hook)
    await side.worker.deliver(delivered)
    await asked(side.hook)
    await side.hook.on_dialog_start(turn(2, user_id=1001, text=""))
    others = await asked(side.hook, 3)

    told = await side.hook.forget_user(1001)

    assert replace(told, hosts=()) == Forgotten(
        requests=3,
        open_requests=2,
        deliveries=1,
        dialogs=1,
        pictures=2,
        photos=(SentPhoto(chat_id=1001, message_id=PHOTO),),
        unknown_sends=0,
        hosts=(),
    )
    assert (await seen(side.hook, others)).state == "queued"
    assert (await side.hook.forget_user(1001)).requests == 0


async def test_a_dialog_without_a_picture_is_erased_by_its_id(side: Side) -> None:
    await asked(side.hook, 3)
    await side.hook.on_turn(turn(4))

    told = [await side.hook.forget_user(1004, dialog_ids=[3, 4]) for _ in range(2)]

    assert [each.dialogs for each in told] == [1, 0]


async def test_nobody_cannot_be_forgotten(side: Side) -> None:
    with pytest.raises(ValueError, match="nobody"):
        await side.hook.forget_user(0)


async def test_a_hook_may_be_closed_twice(side: Side) -> None:
    await side.hook.close()
    await side.hook.close()


@pytest.fixture(params=["real", "stand_in"])
async def without_database(
    request: pytest.FixtureRequest, redis_url: str
) -> AsyncIterator[ChatFlowHook]:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    if request.param == "real":
        url = f"postgresql://u:p@127.0.0.1:{port}/db"
        async with ChatFlowHook(conversations.hook_settings(url, redis_url)) as hook:
            yield hook
    else:
        stand_in = InMemoryHook()
        stand_in.is_database_down = True
        yield stand_in


async def test_without_a_database_the_chat_goes_on(without_database: ChatFlowHook) -> None:
    assert await say(without_database, 5) == [None] * 5
    assert await without_database.on_dialog_start(turn(text="")) is None


async def test_without_a_database_what_people_ask_for_raises(
    without_database: ChatFlowHook,
) -> None:
    request = Request(id=uuid4(), dialog_id=1, message_count=1)
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: without_database.ask(turn()),
        lambda: without_database.vary(request.id),
        lambda: without_database.cancel(request),
        lambda: without_database.confirm_age(1),
        lambda: without_database.revoke_age(1),
        lambda: without_database.has_confirmed_age(1),
        lambda: without_database.may_ask_age(1),
        lambda: without_database.forget_user(1),
    ]

    for call in calls:
        with pytest.raises(DatabaseFault, match="the database is away"):
            await call()
    with pytest.raises(TimeoutError):
        await without_database.wait(request, timeout=0.01)


class Walk:
    """Calls a hook at random and records each answer, with a number in place of each new id."""

    def __init__(self, side: Side, seed: int) -> None:
        self._side = side
        self._random = random.Random(seed)
        self._requests: list[Request] = []
        self._open: list[Request] = []
        self.answers: list[Any] = []

    async def go(self, steps: int) -> None:
        calls = [self._turn] * 8 + [self._ask] * 2 + [self._end] * 3
        calls += [self._vary, self._cancel, self._begin, self._look, self._forget]
        for _ in range(steps):
            call = self._random.choice(calls)
            self.answers.append((call.__name__, self._plain(await call())))

    async def _turn(self) -> Any:
        changes: dict[str, Any] = {}
        if self._random.random() < 0.5:
            changes["reply_to_message_id"] = self._random.randint(1, 30)
        if self._random.random() < 0.3:
            changes["message_count"] = self._random.randint(0, 9)
        return await self._side.hook.on_turn(
            turn(*self._place(), is_refresh=self._random.random() < 0.1, **changes)
        )

    async def _ask(self) -> Any:
        prompt = self._random.choice([None, None, "she repairs a bicycle"])
        return await self._side.hook.ask(turn(*self._place(), prompt=prompt))

    async def _vary(self) -> Any:
        try:
            return await self._side.hook.vary(self._any().id)
        except NothingToVary:
            return NothingToVary

    async def _end(self) -> Any:
        request = self._any()
        try:
            if not (await seen(self._side.hook, request)).state.is_open:
                return "has ended"
        except LookupError:
            return LookupError
        if self._random.random() < 0.7:
            return await self._side.worker.deliver(request)
        return await self._side.worker.fail(request, self._random.choice(FAILURES))

    async def _cancel(self) -> Any:
        return await self._side.hook.cancel(self._any())

    async def _begin(self) -> Any:
        return await self._side.hook.on_dialog_start(turn(*self._place()))

    async def _look(self) -> Any:
        try:
            return await seen(self._side.hook, self._any())
        except LookupError:
            return LookupError

    async def _forget(self) -> Any:
        if self._random.random() < 0.7:
            return None
        told = await self._side.hook.forget_user(
            self._random.randint(1001, 1003), dialog_ids=self._place()
        )
        return replace(told, hosts=(), photos=len(told.photos))  # type: ignore[arg-type] # a note

    def _place(self) -> tuple[int]:
        return (self._random.randint(1, 3),)

    def _any(self) -> Request:
        """Return one of the newest requests, or one that does not exist."""
        newest = self._requests[-8:] or [Request(id=UUID(int=0), dialog_id=1, message_count=1)]
        return self._random.choice(newest)

    def _plain(self, answer: Any) -> Any:
        if isinstance(answer, Limited):
            return Limited
        if not isinstance(answer, Request):
            return answer
        ids = [request.id for request in self._requests]
        if answer.id not in ids:
            self._requests.append(answer)
            ids.append(answer.id)
        return ids.index(answer.id), answer.dialog_id, answer.message_count


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 15, 84])
async def test_both_answer_the_same_to_calls_at_random(sides: Sides, seed: int) -> None:
    await have_covers(sides.sessions)
    terms = {"image_trigger_max": 5, "images_per_user_per_day": 25, "asked_images_per_minute": 9}
    walks = []
    for make in (sides.real, sides.stand_in):
        side = make(random.Random(seed), **terms)
        async with connected(side.hook):
            walks.append(Walk(side, seed))
            await walks[-1].go(steps=120)

    real, stand_in = walks
    assert stand_in.answers == real.answers
