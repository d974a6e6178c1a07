"""A picture takes the place of its status message: one message at the end, never two."""

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from chatflow_hook.tables import State
from imagegen.db.tables import Delivery
from imagegen.sandbox.telegram import ChatMessage, Trouble
from tests.support import conversations
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory, RunningProduct
from tests.support.status_messages import put_status

ANNA = 1001


async def delivered(product: RunningProduct, **values: Any) -> list[ChatMessage]:
    """Let a request that has a status message be delivered; return what the chat shows."""
    request = await product.ask()
    await put_status(product, chat_id=ANNA, **values)
    async with product.worker():
        picture = await product.hook.wait(request, timeout=PATIENCE_S)
    assert picture.state is State.DELIVERED
    shown = list(product.telegram.chats.current[ANNA].values())
    assert [message.message_id for message in shown] == [picture.telegram_message_id]
    return shown


async def outcomes(sessions: Sessions) -> list[tuple[str, bool]]:
    async with sessions() as session:
        query = select(Delivery.outcome, Delivery.is_edit).order_by(Delivery.attempt)
        return [(row[0], row[1]) for row in await session.execute(query)]


async def test_the_picture_takes_the_place_of_the_status_message(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(works=False) as product:
        (shown,) = await delivered(product)

        assert (shown.method, shown.photo is None) == ("editMessageMedia", False)
        assert [message.method for message in product.telegram.sent] == ["sendMessage"]
        assert await outcomes(sessions) == [("sent", True)]


async def test_a_picture_in_the_place_of_its_status_message_has_its_caption_and_buttons(
    products: ProductFactory,
) -> None:
    async with products.start(
        works=False, delivery_buttons="hide", delivery_buttons_under="all"
    ) as product:
        (shown,) = await delivered(
            product, persona_caption=None, caption="<b>Here</b> I am", caption_parse_mode="HTML"
        )

        assert (shown.method, shown.caption) == ("editMessageMedia", "Here I am")
        assert "pic1:hide:" in (shown.reply_markup or "")


@pytest.mark.parametrize(("policy", "losses"), [("resend", 2), ("skip", 1)])
async def test_an_edit_whose_answers_are_lost_is_repeated_without_harm(
    products: ProductFactory, sessions: Sessions, policy: str, losses: int
) -> None:
    async with products.start(works=False, delivery_on_unknown=policy) as product:
        lost = [Trouble.drop(is_accepted=True)] * losses
        product.telegram.script(*lost, method="editMessageMedia")

        await delivered(product)

        assert await outcomes(sessions) == [("unknown", True)] * losses + [("sent", True)]


async def test_a_status_message_that_somebody_has_deleted_becomes_a_new_photo(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(works=False) as product:
        request = await product.ask()
        await put_status(product, chat_id=ANNA)
        (status,) = product.telegram.chats.current[ANNA].values()
        product.telegram.chats.delete(status)
        async with product.worker():
            picture = await product.hook.wait(request, timeout=PATIENCE_S)

        assert picture.state is State.DELIVERED
        assert [message.method for message in product.telegram.sent] == ["sendMessage", "sendPhoto"]
        assert await outcomes(sessions) == [("not_sent", True), ("sent", False)]


async def test_after_a_long_wait_the_picture_is_a_new_message_which_notifies(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(works=False) as product:
        long_ago = func.clock_timestamp() - timedelta(seconds=61)

        (shown,) = await delivered(product, queued_at=long_ago)

        assert shown.method == "sendPhoto"
        assert await outcomes(sessions) == [("sent", False)]


async def test_a_picture_that_has_to_be_protected_replaces_no_message_that_is_not(
    products: ProductFactory,
) -> None:
    async with products.start(works=False, max_rating="explicit", protect_content=True) as product:
        await product.hook.confirm_age(ANNA)

        (shown,) = await delivered(product, rating="suggestive")

        assert (shown.method, shown.protect_content) == ("sendPhoto", True)


async def test_a_status_message_that_cannot_be_deleted_stays_in_the_row_for_later(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(works=False) as product:
        request = await product.ask()
        long_ago = func.clock_timestamp() - timedelta(seconds=61)
        message_id = await put_status(product, chat_id=ANNA, queued_at=long_ago)
        product.telegram.script(Trouble.bad_gateway(), method="deleteMessage")
        async with product.worker():
            picture = await product.hook.wait(request, timeout=PATIENCE_S)

        assert picture.state is State.DELIVERED
        row = await conversations.row(sessions, request.id)
        assert row.status_message_id == message_id != row.telegram_message_id


async def test_a_person_sees_the_status_and_then_the_picture_in_its_place(
    products: ProductFactory,
) -> None:
    async with products.start(seconds_per_picture=1.3, delivery_progress="message") as product:
        picture = await product.picture()

        assert picture.state is State.DELIVERED
        methods = [call.method for call in product.telegram.calls if call.method != "getMe"]
        assert [methods[0], methods[-1]] == ["sendMessage", "editMessageMedia"]
        # On a machine that has much else to do it lasts, and the status is edited meanwhile.
        assert set(methods[1:-1]) <= {"editMessageText"}
        (shown,) = product.telegram.chats.current[ANNA].values()
        assert shown.message_id == picture.telegram_message_id


@pytest.mark.parametrize(("rating", "is_shown"), [("safe", True), ("suggestive", False)])
async def test_previews_are_shown_of_a_safe_picture_only(
    products: ProductFactory, rating: str, *, is_shown: bool
) -> None:
    async with products.start(
        seconds_per_picture=4.5,
        delivery_progress="message",
        delivery_preview=True,
        max_rating="suggestive",
        protect_content=False,
    ) as product:
        await product.hook.confirm_age(ANNA)
        request = await product.ask(rating=rating, text="meet me at the beach")
        picture = await product.hook.wait(request, timeout=PATIENCE_S)
        (row,) = await conversations.requests_of(product.sessions)

        assert picture.state is State.DELIVERED
        assert row.drawn_rating == rating
        captions = [
            json.loads(call.fields["media"]).get("caption") or ""
            for call in product.telegram.calls
            if call.method == "editMessageMedia"
        ]
        of_previews = [each for each in captions if each.startswith("Drawing your picture")]
        assert bool(of_previews) is is_shown
        # The picture itself, in the place of its status message.
        assert len(captions) == len(of_previews) + 1
