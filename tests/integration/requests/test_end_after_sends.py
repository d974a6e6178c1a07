"""How a request ends whose picture is, or may be, in the chat, and what it leaves on its host."""

from uuid import UUID

import pytest
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.tables import State
from imagegen.db.tables import Delivery, SendOutcome, StrayPrompt
from imagegen.delivery.errors import ChatGone, SendRefused
from imagegen.delivery.message import SentMessage
from imagegen.errors import ImagegenError
from imagegen.requests.claim import ClaimedRequest, TooLate
from imagegen.requests.deliveries import Deliveries
from imagegen.requests.repository import RequestRepository
from imagegen.safety.refusal import RatingWithdrawn
from imagegen.storage.store import ImageLost
from tests.integration.requests.conftest import ANNA, MESSAGE_COUNT
from tests.support import conversations, request_steps
from tests.support.conversations import Sessions
from tests.support.drawing_plan import PLAN

MESSAGE_ID = 77
RECEIPT = SentMessage(chat_id=ANNA, message_id=MESSAGE_ID, file_id="AgAC", bot_id=42)
TOO_LATE = TooLate("the chat has moved on")


async def put_send(sessions: Sessions, request_id: UUID, outcome: str) -> None:
    message_id = MESSAGE_ID if outcome == SendOutcome.SENT else None
    values = {"request_id": request_id, "attempt": 1, "outcome": outcome, "message_id": message_id}
    async with sessions.begin() as session:
        await session.execute(insert(Delivery).values(values))


async def watermark(sessions: Sessions) -> int | None:
    return (await conversations.dialog(sessions)).last_image_generation_at


async def strays(sessions: Sessions) -> list[UUID]:
    async with sessions() as session:
        return list(await session.scalars(select(StrayPrompt.prompt_id)))


@pytest.mark.parametrize("outcome", ["unknown", "sending"])
@pytest.mark.parametrize(
    ("state", "error"),
    [
        (State.EXPIRED, TOO_LATE),
        (State.FAILED, ChatGone("there is no such chat")),
        (State.FAILED, SendRefused("Telegram refuses the picture")),
        (State.FAILED, ImageLost("the image is gone")),
    ],
    ids=["too late", "chat gone", "refused", "image lost"],
)
async def test_a_picture_that_may_be_in_the_chat_moves_the_watermark_however_it_ends(
    requests: RequestRepository,
    sessions: Sessions,
    request_id: UUID,
    *,
    state: State,
    error: ImagegenError,
    outcome: str,
) -> None:
    request = await request_steps.drawn(requests, request_id)
    await put_send(sessions, request_id, outcome)

    ending = await requests.end_without_picture(request, state, error)

    row = await conversations.row(sessions, request_id)
    assert (row.state, row.error_code) == (State.FAILED, "delivery_unknown")
    assert ending is not None
    assert row.error_sentence == ending.sentence
    assert error.sentence in ending.sentence
    assert await watermark(sessions) == MESSAGE_COUNT
    async with sessions() as session:
        assert await session.scalar(select(Delivery.outcome)) == SendOutcome.UNKNOWN


@pytest.mark.parametrize("outcome", ["refused", "not_sent"])
async def test_a_picture_that_is_not_in_the_chat_leaves_the_watermark(
    requests: RequestRepository, sessions: Sessions, request_id: UUID, outcome: str
) -> None:
    request = await request_steps.drawn(requests, request_id)
    await put_send(sessions, request_id, outcome)

    await requests.end_without_picture(request, State.EXPIRED, TOO_LATE)

    row = await conversations.row(sessions, request_id)
    assert (row.state, row.error_code) == (State.EXPIRED, "too_old")
    assert await watermark(sessions) is None


@pytest.mark.parametrize("is_drawn", [True, False])
async def test_a_picture_that_is_in_the_chat_is_delivered(
    requests: RequestRepository, sessions: Sessions, request_id: UUID, *, is_drawn: bool
) -> None:
    step = request_steps.drawn if is_drawn else request_steps.claimed
    request = await step(requests, request_id)
    await put_send(sessions, request_id, SendOutcome.SENT)

    ending = await requests.end_without_picture(request, State.EXPIRED, TOO_LATE)

    row = await conversations.row(sessions, request_id)
    assert ending is None
    assert (row.state, row.telegram_message_id) == (State.DELIVERED, MESSAGE_ID)
    assert (row.error_code, row.conversation) == (None, None)
    assert await watermark(sessions) == MESSAGE_COUNT


async def test_a_picture_that_may_not_be_shown_any_more_is_erased_although_it_may_be_in_the_chat(
    requests: RequestRepository, sessions: Sessions, request_id: UUID
) -> None:
    request = await request_steps.drawn(requests, request_id)
    await put_send(sessions, request_id, SendOutcome.UNKNOWN)

    await requests.end_without_picture(request, State.REFUSED, RatingWithdrawn(language="en"))

    row = await conversations.row(sessions, request_id)
    assert (row.image, row.conversation, row.error_code) == (None, None, "delivery_unknown")
    assert await watermark(sessions) == MESSAGE_COUNT


async def sent_from_memory(
    requests: RequestRepository, request_id: UUID
) -> tuple[ClaimedRequest, UUID]:
    """Bring a request to where its picture is in the job's memory only; return its prompt too."""
    request = await request_steps.claimed(requests, request_id)
    request = await requests.start_drawing(request, PLAN, host="gpu-1")
    assert request.prompt_id is not None
    return request, request.prompt_id


async def test_the_prompt_of_a_picture_that_was_sent_from_memory_is_listed(
    engine: AsyncEngine, requests: RequestRepository, sessions: Sessions, request_id: UUID
) -> None:
    request, prompt_id = await sent_from_memory(requests, request_id)
    send = await Deliveries(engine).start(request)

    await requests.mark_delivered(request, send=send, receipt=RECEIPT)

    assert await strays(sessions) == [prompt_id]


async def test_the_prompt_of_a_request_that_ends_without_an_image_is_listed(
    requests: RequestRepository, sessions: Sessions, request_id: UUID
) -> None:
    request, prompt_id = await sent_from_memory(requests, request_id)

    await requests.end_without_picture(request, State.EXPIRED, TOO_LATE)

    assert await strays(sessions) == [prompt_id]


async def test_a_prompt_that_was_cleaned_up_is_not_listed_again(
    engine: AsyncEngine, requests: RequestRepository, sessions: Sessions, request_id: UUID
) -> None:
    request = await request_steps.drawn(requests, request_id)
    row = await conversations.row(sessions, request_id)
    async with sessions.begin() as session:
        for stray in await session.scalars(select(StrayPrompt)):
            await session.delete(stray)
    send = await Deliveries(engine).start(request)

    await requests.mark_delivered(request, send=send, receipt=RECEIPT)

    assert row.prompt_id is not None
    assert await strays(sessions) == []
