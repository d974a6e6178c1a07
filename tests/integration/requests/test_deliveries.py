"""The ledger of sends: what it knows of a message, whatever became of the request."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook import cancellation
from chatflow_hook.tables import ImageRequest, State
from imagegen.db.tables import Delivery, ForgottenMessage, SendOutcome
from imagegen.delivery.errors import DeliveryUnknown, SendRefused
from imagegen.delivery.message import SentMessage
from imagegen.delivery.telegram_refusals import UNNAMED
from imagegen.requests.deliveries import Deliveries
from imagegen.requests.repository import RequestRepository
from imagegen.requests.retry import retry_request
from tests.integration.requests.conftest import ANNA, MESSAGE_COUNT
from tests.support import conversations, request_steps
from tests.support.conversations import Sessions
from tests.support.drawing_plan import PLAN

RECEIPT = SentMessage(chat_id=ANNA, message_id=77, file_id="AgAC", bot_id=42)


@pytest.fixture
def deliveries(engine: AsyncEngine) -> Deliveries:
    return Deliveries(engine)


async def test_a_delivery_that_is_written_twice_is_one_delivery(
    requests: RequestRepository, deliveries: Deliveries, sessions: Sessions, request_id: UUID
) -> None:
    request = await request_steps.drawn(requests, request_id)
    send = await deliveries.start(request)
    await requests.mark_delivered(request, send=send, receipt=RECEIPT)

    assert await deliveries.record_arrival(send, RECEIPT)

    async with sessions() as session:
        (row,) = await session.scalars(select(Delivery))
    assert (row.outcome, row.message_id) == (SendOutcome.SENT, 77)


async def test_a_second_copy_is_known_beside_the_first(
    requests: RequestRepository, deliveries: Deliveries, sessions: Sessions, request_id: UUID
) -> None:
    lost_request = await request_steps.drawn(requests, request_id)
    late_send = await deliveries.start(lost_request)
    request = await request_steps.claimed(requests, request_id)
    send = await deliveries.start(request)
    await requests.mark_delivered(request, send=send, receipt=RECEIPT)

    late_receipt = SentMessage(chat_id=ANNA, message_id=78, file_id=None, bot_id=42)
    assert not await deliveries.record_arrival(late_send, late_receipt)

    async with sessions() as session:
        sent = await session.execute(select(Delivery.outcome, Delivery.message_id))
    assert sorted(tuple(row) for row in sent) == [("sent", 77), ("sent", 78)]


async def test_a_picture_that_arrives_after_it_was_called_off_is_in_its_row_and_moves_the_watermark(
    engine: AsyncEngine,
    requests: RequestRepository,
    deliveries: Deliveries,
    sessions: Sessions,
    request_id: UUID,
) -> None:
    request = await request_steps.drawn(requests, request_id)
    send = await deliveries.start(request)
    async with engine.begin() as connection:
        await cancellation.cancel(connection, ImageRequest.id == request_id)

    assert not await deliveries.record_arrival(send, RECEIPT)
    assert not await deliveries.record_arrival(send, RECEIPT)

    row = await conversations.row(sessions, request_id)
    assert (row.state, row.telegram_message_id) == (State.CANCELLED, 77)
    assert (row.telegram_bot_id, row.telegram_file_id) == (42, "AgAC")
    assert (await conversations.dialog(sessions)).last_image_generation_at == MESSAGE_COUNT


async def test_of_an_erased_request_chat_and_message_are_all_that_is_kept(
    requests: RequestRepository, deliveries: Deliveries, sessions: Sessions, request_id: UUID
) -> None:
    request = await request_steps.drawn(requests, request_id)
    send = await deliveries.start(request)
    async with sessions.begin() as session:
        await session.execute(delete(ImageRequest))

    assert not await deliveries.record_arrival(send, RECEIPT)
    assert not await deliveries.record_arrival(send, RECEIPT)

    async with sessions() as session:
        (message,) = await session.scalars(select(ForgottenMessage))
        assert (message.chat_id, message.message_id) == (ANNA, 77)
        assert list(await session.scalars(select(Delivery))) == []


async def test_a_picture_that_was_in_the_memory_of_a_dead_job_is_drawing_again(
    requests: RequestRepository, deliveries: Deliveries, request_id: UUID
) -> None:
    request = await request_steps.claimed(requests, request_id)
    request = await requests.start_drawing(request, PLAN, host="gpu-1")
    await deliveries.start(request)

    taken_over = await request_steps.claimed(requests, request_id)

    assert (taken_over.state, taken_over.prompt_id) == (State.DRAWING, request.prompt_id)


async def test_a_send_knows_what_became_of_those_before_it(
    requests: RequestRepository, deliveries: Deliveries, request_id: UUID
) -> None:
    request = await request_steps.drawn(requests, request_id)
    first = await deliveries.start(request)
    await deliveries.record_outcome(first, SendOutcome.REFUSED, "Telegram refuses the picture")
    await deliveries.start(request)

    third = await deliveries.start(request)

    assert (first.unknown, first.refused, first.arrived_as) == (0, 0, None)
    assert (third.unknown, third.refused, third.arrived_as) == (1, 1, None)


async def test_sends_count_although_the_clock_of_postgresql_was_set_back(
    requests: RequestRepository, deliveries: Deliveries, sessions: Sessions, request_id: UUID
) -> None:
    request = await request_steps.drawn(requests, request_id)
    await deliveries.start(request)
    await _set_clock_back(sessions)

    send = await deliveries.start(request)

    assert send.unknown == 1


async def test_no_send_counts_from_before_an_operators_retry(
    engine: AsyncEngine,
    requests: RequestRepository,
    deliveries: Deliveries,
    sessions: Sessions,
    request_id: UUID,
) -> None:
    request = await request_steps.drawn(requests, request_id)
    await deliveries.start(request)
    await deliveries.start(request)
    await requests.end_without_picture(request, State.FAILED, DeliveryUnknown("given up"))
    await retry_request(engine, None, request_id)
    request = await request_steps.drawn(requests, request_id)
    first = await deliveries.start(request)
    await _set_clock_back(sessions)

    second = await deliveries.start(request)

    assert (first.unknown, second.unknown) == (0, 1)


async def _set_clock_back(sessions: Sessions) -> None:
    """Date all sends as a clock would that is an hour behind."""
    an_hour_ago = func.clock_timestamp() - timedelta(hours=1)
    async with sessions.begin() as session:
        await session.execute(update(Delivery).values(started_at=an_hour_ago))


@pytest.mark.parametrize(
    ("sends", "refused"),
    [
        ([("refused", UNNAMED)] * 3, 3),
        ([("refused", UNNAMED), ("refused", "Telegram refuses the photo: too big")], 1),
        ([("refused", UNNAMED), ("refused", "Telegram refuses the topic or the reply: X")], 1),
        ([("refused", UNNAMED), ("not_sent", "a proxy"), ("refused", UNNAMED)], 1),
    ],
    ids=["in a row", "photo", "topic", "interrupted"],
)
async def test_refusals_without_a_name_are_counted_in_a_row(
    requests: RequestRepository,
    deliveries: Deliveries,
    sessions: Sessions,
    request_id: UUID,
    *,
    sends: list[tuple[str, str]],
    refused: int,
) -> None:
    request = await request_steps.drawn(requests, request_id)
    async with sessions.begin() as session:
        rows = [
            {"request_id": request_id, "attempt": n, "outcome": outcome, "error_sentence": why}
            for n, (outcome, why) in enumerate(sends, start=1)
        ]
        await session.execute(insert(Delivery), rows)

    send = await deliveries.start(request)

    assert send.refused == refused


async def test_a_sentence_that_postgresql_cannot_store_is_stored_without_what_it_lacks(
    requests: RequestRepository, deliveries: Deliveries, sessions: Sessions, request_id: UUID
) -> None:
    request = await request_steps.drawn(requests, request_id)
    send = await deliveries.start(request)
    sentence = "Telegram refuses the picture: a\0b\ud800c"

    await deliveries.record_outcome(send, SendOutcome.REFUSED, sentence)
    await requests.end_without_picture(request, State.FAILED, SendRefused(sentence))

    row = await conversations.row(sessions, request_id)
    async with sessions() as session:
        stored = await session.scalar(select(Delivery.error_sentence))
    assert stored == row.error_sentence == "Telegram refuses the picture: abc"
