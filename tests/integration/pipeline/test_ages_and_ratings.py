"""Which rating a picture may have for which user, from the hook to the chat."""

import asyncio

import pytest
from sqlalchemy import select

from chatflow_hook import Rating, Request
from chatflow_hook.tables import AgeConfirmation, State
from imagegen.db.tables import ForgottenImage
from tests.support import conversations
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory, RunningProduct

ANN = 1001
FLIRT = {"rating": Rating.SUGGESTIVE}
GROUP = -1001234567890


async def test_a_confirmed_adult_in_a_private_chat_has_what_operator_and_bot_allow(
    products: ProductFactory,
) -> None:
    async with products.start(max_rating="suggestive", protect_content=True) as product:
        await product.hook.confirm_age(ANN, language="ru")

        picture = await product.picture(**FLIRT)

        assert picture.state is State.DELIVERED
        assert "flirtatious" in product.prompts()[0]
        assert product.telegram.sent[0].has_spoiler
        assert product.telegram.sent[0].protect_content


@pytest.mark.parametrize(
    ("operator", "confirms", "changes"),
    [
        ("safe", True, FLIRT),
        ("suggestive", False, FLIRT),
        # A group is one whatever the bot says, and a chat of somebody else is none of the user's.
        ("suggestive", True, {**FLIRT, "chat_id": GROUP, "chat_type": "private"}),
        ("suggestive", True, {**FLIRT, "chat_id": 2002, "chat_type": "private"}),
        ("suggestive", True, {**FLIRT, "rating": "safe"}),
        ("suggestive", True, {**FLIRT, "text": "my daughter is at home today"}),
        ("suggestive", True, {**FLIRT, "text": "you fell asleep on the sofa"}),
        ("suggestive", True, {**FLIRT, "text": "dress up as the first lady"}),
    ],
)
async def test_one_who_does_not_agree_keeps_the_picture_safe(
    products: ProductFactory, operator: str, changes: dict[str, object], *, confirms: bool
) -> None:
    async with products.start(max_rating=operator) as product:
        if confirms:
            await product.hook.confirm_age(ANN)

        assert (await product.picture(**changes)).state is State.DELIVERED
        assert "flirtatious" not in product.prompts()[0]
        assert not product.telegram.sent[0].has_spoiler
        assert not product.telegram.sent[0].protect_content


async def test_a_variation_goes_no_further_than_its_picture_was_drawn(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(max_rating="suggestive") as product:
        await product.hook.confirm_age(ANN)
        tame = await product.ask(**FLIRT, text="my daughter is at home today")
        bold = await product.ask(**FLIRT, dialog_id=2, user_id=ANN, chat_id=ANN)
        for request in (tame, bold):
            await product.hook.wait(request, timeout=PATIENCE_S)
            await product.hook.wait(await _varied(product, request), timeout=PATIENCE_S)

        drawn = [
            [row.drawn_rating for row in await conversations.requests_of(sessions, dialog_id)]
            for dialog_id in (1, 2)
        ]
        assert drawn == [["safe", "safe"], ["suggestive", "suggestive"]]


async def test_an_age_that_is_revoked_while_the_picture_is_drawn_refuses_it(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(max_rating="suggestive", seconds_per_picture=1.0) as product:
        await product.hook.confirm_age(ANN)
        request = await product.ask(**FLIRT, language="ru-RU")
        await _is_drawing(product, request)
        await product.hook.revoke_age(ANN)

        picture = await product.hook.wait(request, timeout=PATIENCE_S)

        assert (picture.state, picture.error_code) == (State.REFUSED, "rating_withdrawn")
        assert picture.message is not None
        assert picture.message.startswith("Здесь я лучше")
        assert product.telegram.sent == []
        assert (await conversations.dialog(sessions)).last_image_generation_at is None


async def test_a_picture_that_is_withdrawn_can_be_had_nowhere(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(
        max_rating="suggestive",
        image_url_base="https://pictures.example",
        seconds_per_picture=1.0,
    ) as product:
        await product.hook.confirm_age(ANN)
        request = await product.ask(**FLIRT)
        await _is_drawing(product, request)
        await product.hook.revoke_age(ANN)

        picture = await product.hook.wait(request, timeout=PATIENCE_S)

        assert (picture.error_code, picture.url) == ("rating_withdrawn", None)
        row = await conversations.row(sessions, request.id)
        assert (row.image, row.image_url) == (None, None)
        async with sessions() as session:
            notes = (await session.execute(select(ForgottenImage.image))).scalars().all()
        assert len(notes) == 1


async def test_an_age_that_is_revoked_before_the_drawing_makes_it_safe(
    products: ProductFactory,
) -> None:
    async with products.start(max_rating="suggestive", works=False) as product:
        await product.hook.confirm_age(ANN)
        request = await product.ask(**FLIRT)
        await product.hook.revoke_age(ANN)
        async with product.worker():
            picture = await product.hook.wait(request, timeout=PATIENCE_S)

        assert picture.state is State.DELIVERED
        assert "flirtatious" not in product.prompts()[0]


async def test_a_new_text_asks_everybody_again(products: ProductFactory) -> None:
    async with products.start(bot={"age_text_version": "1"}) as product:
        await product.hook.confirm_age(ANN)
        assert await product.hook.has_confirmed_age(ANN)

    async with products.start(bot={"age_text_version": "2"}) as product:
        assert not await product.hook.has_confirmed_age(ANN)


async def test_a_confirmation_says_when_to_what_and_in_which_language(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(works=False) as product:
        await product.hook.confirm_age(ANN, language="ru")
        await product.hook.revoke_age(ANN)
        revoked = await _confirmation(sessions)
        await product.hook.confirm_age(ANN, language="en")
        again = await _confirmation(sessions)
        await product.hook.forget_user(ANN)

    assert revoked is not None
    assert (revoked.text_version, revoked.language) == ("1", "ru")
    assert revoked.revoked_at is not None
    assert again is not None
    assert (again.language, again.revoked_at) == ("en", None)
    assert again.confirmed_at is not None
    assert revoked.confirmed_at is not None
    assert again.confirmed_at > revoked.confirmed_at
    assert await _confirmation(sessions) is None


async def _is_drawing(product: RunningProduct, request: Request) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await product.hook.wait(request, timeout=0.02)).state is not State.DRAWING:
            pass


async def _varied(product: RunningProduct, request: Request) -> Request:
    varied = await product.hook.vary(request.id)
    assert isinstance(varied, Request)
    return varied


async def _confirmation(sessions: Sessions) -> AgeConfirmation | None:
    async with sessions() as session:
        query = select(AgeConfirmation).where(AgeConfirmation.user_id == ANN)
        return (await session.execute(query)).scalar_one_or_none()
