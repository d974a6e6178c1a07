"""ChatFlowHook on a real database: the rows that a turn changes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from arq.constants import default_queue_name
from redis.asyncio import Redis
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncSession
from structlog.testing import capture_logs

from chatflow_hook import ChatFlowHook, Request
from chatflow_hook.tables import Dialog, State
from tests.support import conversations
from tests.support.conversations import Sessions, turn
from tests.support.patience import PATIENCE_S


@pytest.fixture
async def hook(database_url: str, redis_url: str) -> AsyncIterator[ChatFlowHook]:
    async with ChatFlowHook(
        conversations.hook_settings(database_url, redis_url), turn_timeout_s=PATIENCE_S
    ) as hook:
        yield hook


async def say(hook: ChatFlowHook, times: int, **changes: Any) -> list[Request | None]:
    return [await hook.on_turn(turn(**changes)) for _ in range(times)]


async def test_the_third_message_brings_a_request_and_a_row(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    first, second, third = await say(hook, 3, text="Let's walk in the park")

    assert (first, second) == (None, None)
    assert third is not None
    assert (third.dialog_id, third.message_count) == (1, 3)
    row = await conversations.row(sessions, third.id)
    assert (row.state, row.kind, row.persona, row.chat_id) == ("queued", "automatic", "lina", 1001)
    assert row.conversation is not None
    assert row.conversation["text"] == "Let's walk in the park"


async def test_a_request_without_a_session_is_enqueued(hook: ChatFlowHook, redis_url: str) -> None:
    *_, request = await say(hook, 3)

    assert request is not None
    async with Redis.from_url(redis_url, db=3) as redis:
        assert await redis.zrange(default_queue_name, 0, -1) == [str(request.id).encode()]
        packed = await redis.get(f"arq:job:{request.id}")
    assert packed.startswith(b"{"), "JSON, since a pickle runs code in the worker"
    assert b"hello" not in packed, "ids only, no chat text"


async def test_in_the_bots_transaction_nothing_is_there_before_its_commit(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    await say(hook, 2)
    async with sessions() as session:
        request = await hook.on_turn(turn(), session)
        assert request is not None
        assert await conversations.requests_of(sessions) == []

        await session.rollback()

    assert await conversations.requests_of(sessions) == []
    assert (await conversations.dialog(sessions)).message_count == 2
    with pytest.raises(LookupError):
        await hook.wait(request, timeout=1)


async def test_the_bots_own_work_is_committed_with_the_request(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    await say(hook, 2)
    async with sessions.begin() as session:
        await session.execute(text("CREATE TABLE of_the_bot (words text)"))
        request = await hook.on_turn(turn(), session)
    await hook.enqueue(request)

    assert request is not None
    assert (await conversations.row(sessions, request.id)).state == State.QUEUED
    async with sessions() as session:
        await session.execute(text("SELECT * FROM of_the_bot"))


async def test_the_time_limits_of_the_bots_transaction_are_as_before(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    async with sessions.begin() as session:
        await session.execute(text("SET LOCAL lock_timeout = '7s'"))
        await session.execute(text("SET LOCAL statement_timeout = '9s'"))

        await hook.on_turn(turn(), session)

        limits = [
            (await session.execute(text(f"SHOW {name}"))).scalar_one()
            for name in ("lock_timeout", "statement_timeout")
        ]
    assert limits == ["7s", "9s"]


async def test_a_regenerated_reply_is_neither_counted_nor_a_reason(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    await say(hook, 2)

    assert await say(hook, 5, is_refresh=True) == [None] * 5
    assert (await conversations.dialog(sessions)).message_count == 2


async def test_the_same_message_twice_gives_the_same_request(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    for number in (1, 2):
        await hook.on_turn(turn(reply_to_message_id=number))

    first = await hook.on_turn(turn(reply_to_message_id=3))
    again = await hook.on_turn(turn(reply_to_message_id=3))

    assert first is not None
    assert first == again
    assert (await conversations.dialog(sessions)).message_count == 3


async def test_an_update_delivered_twice_counts_once(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    await hook.on_turn(turn(reply_to_message_id=10))
    await hook.on_turn(turn(reply_to_message_id=10))

    assert (await conversations.dialog(sessions)).message_count == 1


async def test_a_batch_of_updates_delivered_twice_counts_each_message_once(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    batch = [turn(reply_to_message_id=number) for number in (101, 102, 103)]

    first = [await hook.on_turn(each) for each in batch]
    again = [await hook.on_turn(each) for each in batch]

    assert first[2] is not None
    assert again == first
    assert (await conversations.dialog(sessions)).message_count == 3
    assert len(await conversations.requests_of(sessions)) == 1


async def test_a_repeated_message_gives_its_request_also_after_later_ones(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    first = [await hook.on_turn(turn(reply_to_message_id=number)) for number in (1, 2, 3)][-1]
    assert first is not None
    await conversations.end(sessions, first, State.DELIVERED)
    later = [await hook.on_turn(turn(reply_to_message_id=number)) for number in (4, 5, 6)][-1]

    assert later is not None
    assert await hook.on_turn(turn(reply_to_message_id=3)) == first
    assert await hook.on_turn(turn(reply_to_message_id=6)) == later


async def test_messages_that_are_handled_out_of_order_are_counted_each(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    for number in (102, 101, 105, 104):
        await hook.on_turn(turn(reply_to_message_id=number))

    assert (await conversations.dialog(sessions)).message_count == 4


async def test_a_chat_whose_ids_begin_anew_goes_on_counting(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    for number in (4001, 4002, 1, 2, 3):
        await hook.on_turn(turn(reply_to_message_id=number))

    assert (await conversations.dialog(sessions)).message_count == 5


async def test_an_update_that_a_hook_of_an_older_version_counted_counts_once(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    await conversations.put_dialog(sessions, message_count=1, image_last_message_id=10)

    await hook.on_turn(turn(reply_to_message_id=10))

    dialog = await conversations.dialog(sessions)
    assert (dialog.message_count, dialog.image_last_message_id) == (1, 10)


async def test_only_the_newest_messages_are_remembered(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    for number in range(1, 111):
        await hook.on_turn(turn(reply_to_message_id=number))

    remembered = (await conversations.dialog(sessions)).image_counted_messages
    assert remembered == list(range(11, 111))


async def test_a_whole_batch_of_updates_that_is_delivered_again_counts_once(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    for number in 2 * [*range(1, 101)]:
        await hook.on_turn(turn(reply_to_message_id=number))

    assert (await conversations.dialog(sessions)).message_count == 100


async def test_what_a_hook_of_an_older_version_counted_last_is_the_newest(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    await conversations.put_dialog(
        sessions, message_count=3, image_last_message_id=12, image_counted_messages=[10, 11]
    )

    await hook.on_turn(turn(reply_to_message_id=13))

    assert (await conversations.dialog(sessions)).image_counted_messages == [10, 11, 12, 13]


async def test_with_the_bots_count_the_same_message_gives_the_same_request(
    hook: ChatFlowHook,
) -> None:
    first = await hook.on_turn(turn(message_count=3))
    again = await hook.on_turn(turn(message_count=3))

    assert first is not None
    assert first == again


async def test_messages_of_one_dialog_at_the_same_moment_give_one_request(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    await say(hook, 2)

    answers = await asyncio.gather(*(hook.on_turn(turn()) for _ in range(8)))

    assert len([answer for answer in answers if answer is not None]) == 1
    assert len(await conversations.requests_of(sessions)) == 1
    assert (await conversations.dialog(sessions)).message_count == 10


async def test_while_a_picture_is_under_way_no_other_is_due(hook: ChatFlowHook) -> None:
    *_, request = await say(hook, 3)

    assert request is not None
    assert await say(hook, 6) == [None] * 6


async def test_after_a_delivered_picture_counting_starts_at_its_message(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    *_, request = await say(hook, 3)
    assert request is not None
    await conversations.end(sessions, request, State.DELIVERED)

    fourth, fifth, sixth = await say(hook, 3)

    assert (fourth, fifth) == (None, None)
    assert sixth is not None
    assert sixth.message_count == 6


@pytest.mark.parametrize("state", [State.FAILED, State.REFUSED, State.EXPIRED, State.CANCELLED])
async def test_after_a_picture_that_did_not_come_the_distance_is_kept(
    hook: ChatFlowHook, sessions: Sessions, state: State
) -> None:
    *_, request = await say(hook, 3)
    assert request is not None
    await conversations.end(sessions, request, state)

    fourth, fifth, sixth = await say(hook, 3)

    assert (fourth, fifth) == (None, None)
    assert sixth is not None


async def test_an_old_dialog_at_first_deployment_does_not_fire_at_once(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    await conversations.put_dialog(sessions, message_count=400)

    first, second, third, fourth = await say(hook, 4)

    assert (first, second, third) == (None, None, None)
    assert fourth is not None
    assert fourth.message_count == 404


async def test_a_dialog_that_begins_anew_has_pictures_again(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    await conversations.put_dialog(sessions, message_count=90, last_image_generation_at=90)

    answers = [await hook.on_turn(turn(message_count=count)) for count in (1, 2, 3)]

    assert answers[:2] == [None, None]
    assert answers[2] is not None
    assert (await conversations.dialog(sessions)).last_image_generation_at is None


@pytest.mark.parametrize("state", [State.FAILED, State.REFUSED, State.EXPIRED, State.CANCELLED])
@pytest.mark.parametrize("counts", [[None] * 5, [1, 2, 3, 4, 5]])
async def test_a_dialog_that_begins_anew_passes_the_count_of_a_picture_that_did_not_come(
    hook: ChatFlowHook, sessions: Sessions, state: State, counts: list[int | None]
) -> None:
    old = [await hook.on_turn(turn(message_count=count)) for count in counts[:3]][-1]
    assert old is not None
    await conversations.end(sessions, old, state)
    async with sessions.begin() as session:
        anew = {"message_count": 0, "last_image_generation_at": None, "image_last_message_id": None}
        await session.execute(update(Dialog).values(anew))

    answers = [await hook.on_turn(turn(message_count=count)) for count in counts]

    assert answers[:2] == [None, None]
    assert answers[2] is not None
    assert answers[2].id != old.id
    assert answers[3:] == [None, None]


async def test_a_dialog_that_begins_anew_passes_the_count_of_an_old_picture(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    old = await hook.on_turn(turn(message_count=3))
    assert old is not None
    await conversations.end(sessions, old, State.DELIVERED)

    answers = [await hook.on_turn(turn(message_count=count)) for count in (1, 2, 3)]

    assert answers[2] is not None
    assert answers[2].id != old.id


@pytest.mark.parametrize(
    ("words", "code"), [("   ", "empty_message"), ("x" * 100_000, "message_too_long")]
)
async def test_what_can_never_be_drawn_ends_at_once_under_its_name(
    hook: ChatFlowHook, words: str, code: str
) -> None:
    *_, request = await say(hook, 3, text=words)

    assert request is not None
    picture = await hook.wait(request, timeout=5)
    assert (picture.state, picture.error_code) == (State.FAILED, code)
    assert picture.message


@pytest.mark.parametrize("name", ["", "x" * 10_000])
async def test_a_name_that_no_persona_can_have_ends_at_once_under_its_name(
    hook: ChatFlowHook, sessions: Sessions, name: str
) -> None:
    *_, request = await say(hook, 3, persona=name)

    assert request is not None
    row = await conversations.row(sessions, request.id)
    assert (row.state, row.error_code) == (State.FAILED, "unknown_persona")
    assert row.persona == name[:64]


@pytest.mark.parametrize("count", [0, -1])
async def test_a_count_that_is_none_is_told_and_not_recorded(
    hook: ChatFlowHook, sessions: Sessions, count: int
) -> None:
    await conversations.put_dialog(sessions, message_count=90, last_image_generation_at=90)

    with capture_logs() as log:
        assert await hook.on_turn(turn(message_count=count)) is None

    assert [line["why"] for line in log] == ["the turn's message_count is not a number from 1 on"]
    assert (await conversations.dialog(sessions)).last_image_generation_at == 90


async def test_wait_says_what_is_known_when_its_time_is_over(hook: ChatFlowHook) -> None:
    *_, request = await say(hook, 3)
    assert request is not None

    picture = await hook.wait(request, timeout=0.05)

    assert picture.state is State.QUEUED


async def test_what_is_no_session_is_misuse(hook: ChatFlowHook) -> None:
    with pytest.raises(TypeError, match="AsyncSession"):
        await hook.on_turn(turn(), "session")  # type: ignore[arg-type] # misuse on purpose


async def test_a_pending_fault_of_the_bot_is_the_bots(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    await hook.on_turn(turn())

    async def twice(session: AsyncSession) -> None:
        session.add(Dialog(id=1))
        await hook.on_turn(turn(), session)

    async with sessions() as session:
        with pytest.raises(Exception, match="UniqueViolation"):
            await twice(session)
