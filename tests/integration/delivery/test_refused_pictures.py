"""What Telegram refuses is sent in another form or place; what it cannot name is tried later."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select
from structlog.testing import capture_logs

from chatflow_hook import Rating
from chatflow_hook.tables import State
from imagegen.db.tables import Delivery, SendOutcome
from imagegen.sandbox.telegram import Trouble, errors
from tests.support import conversations
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory, RunningProduct

GROUP, TOPIC = -1000055, 7
UNREADABLE = Trouble(refusal=errors.image_process_failed())
STRANGE = Trouble.refused(400, "Bad Request: SOMETHING_NEW")


async def outcomes(sessions: Sessions) -> list[str]:
    async with sessions() as session:
        return list(await session.scalars(select(Delivery.outcome).order_by(Delivery.id)))


@pytest.mark.parametrize("refusal", [errors.image_process_failed(), errors.photo_dimensions()])
async def test_a_photo_that_telegram_cannot_read_is_encoded_again(
    products: ProductFactory, sessions: Sessions, refusal: errors.ApiError
) -> None:
    async with products.start() as product:
        product.telegram.script(Trouble(refusal=refusal), method="sendPhoto")

        picture = await product.picture()

        assert picture.state is State.DELIVERED
        (message,) = product.telegram.sent
        assert message.photo is not None
        assert message.photo.startswith(b"\xff\xd8\xff")
        assert await outcomes(sessions) == ["refused", "sent"]
        assert len(product.hosts[0].drawn) == 1


async def test_a_safe_picture_is_sent_as_a_document_in_the_end(products: ProductFactory) -> None:
    async with products.start() as product:
        product.telegram.script(UNREADABLE, UNREADABLE, method="sendPhoto")

        picture = await product.picture()

        assert picture.state is State.DELIVERED
        (message,) = product.telegram.sent
        assert message.document is not None


async def ask_of_an_adult(product: RunningProduct) -> Any:
    await product.hook.confirm_age(1001)
    return await product.picture(rating=Rating.SUGGESTIVE)


async def test_a_picture_above_safe_is_never_sent_as_a_document(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(max_rating="suggestive") as product:
        product.telegram.script(UNREADABLE, UNREADABLE, method="sendPhoto")

        picture = await ask_of_an_adult(product)

        assert (picture.state, picture.error_code) == (State.FAILED, "telegram_refused")
        assert product.telegram.sent == []
        sent_by = {call.method for call in product.telegram.calls} - {"sendChatAction"}
        assert sent_by == {"sendPhoto"}
        (row,) = await conversations.requests_of(sessions)
        assert row.drawn_rating == Rating.SUGGESTIVE


async def test_a_closed_topic_gets_its_picture_in_the_chat(products: ProductFactory) -> None:
    async with products.start() as product:
        product.telegram.close_topic(GROUP, TOPIC)

        picture = await product.picture(chat_id=GROUP, chat_type="group", message_thread_id=TOPIC)

        assert picture.state is State.DELIVERED
        (message,) = product.telegram.sent
        assert message.message_thread_id is None


async def test_a_chat_that_is_closed_as_a_whole_ends_the_picture(products: ProductFactory) -> None:
    async with products.start() as product:
        closed = Trouble(refusal=errors.topic_closed())
        product.telegram.script(closed, closed, method="sendPhoto")

        picture = await product.picture(chat_id=GROUP, chat_type="group", message_thread_id=TOPIC)

        assert (picture.state, picture.error_code) == (State.FAILED, "no_rights")


async def test_missing_rights_are_no_alarm(products: ProductFactory) -> None:
    with capture_logs() as logged:
        async with products.start() as product:
            refusal = Trouble(refusal=errors.no_rights_to_send_photos())
            # Not of the word that a photo is on its way, which is sent if it takes some time.
            product.telegram.script(refusal, method="sendPhoto")

            picture = await product.picture(chat_id=GROUP, chat_type="group")

            assert (picture.state, picture.error_code) == (State.FAILED, "no_rights")
            again = await product.picture(chat_id=GROUP, chat_type="group")
            assert again.state is State.DELIVERED

    (line,) = [line for line in logged if line["event"] == "request ended"]
    assert line["log_level"] == "info"


async def test_an_answer_that_nobody_knows_is_tried_again(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(request_attempts=1) as product:
        product.telegram.script(STRANGE, method="sendPhoto")
        request = await product.ask()

        await product.telegram.wait_for_calls(1, timeout=PATIENCE_S, method="sendPhoto")

        async with asyncio.timeout(PATIENCE_S):
            while await outcomes(sessions) != ["refused"]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            while (await conversations.row(sessions, request.id)).state != State.DRAWN:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert (await conversations.row(sessions, request.id)).attempts == 0


async def test_a_fifth_refusal_that_nobody_knows_is_the_last(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(works=False) as product:
        request = await product.ask()
        await refuse_before(sessions, request.id, times=4)
        product.telegram.script(STRANGE, method="sendPhoto")
        async with product.worker():
            picture = await product.hook.wait(request, timeout=PATIENCE_S)

    assert (picture.state, picture.error_code) == (State.FAILED, "telegram_refused")
    assert picture.detail is not None
    assert "SOMETHING_NEW" in picture.detail


async def test_pages_of_a_proxy_end_no_picture(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(works=False) as product:
        request = await product.ask()
        await refuse_before(sessions, request.id, times=4)
        page = Trouble.blocked_on_the_way()
        product.telegram.script(page, page, method="sendPhoto")
        async with product.worker():
            picture = await product.hook.wait(request, timeout=PATIENCE_S)

    assert picture.state is State.DELIVERED
    assert await outcomes(sessions) == [*["refused"] * 4, "not_sent", "not_sent", "sent"]


async def refuse_before(sessions: Sessions, request_id: UUID, *, times: int) -> None:
    """Insert sends that Telegram has refused."""
    async with sessions.begin() as session:
        rows = [
            {"request_id": request_id, "attempt": attempt, "outcome": SendOutcome.REFUSED}
            for attempt in range(1, times + 1)
        ]
        await session.execute(insert(Delivery), rows)
