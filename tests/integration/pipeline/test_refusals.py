"""Requests that are refused: how they end, and what the safety notes say of them."""

from pathlib import Path

import pytest
from sqlalchemy import select

from chatflow_hook.tables import State
from imagegen.db.tables import SafetyAuditEntry
from imagegen.safety.screen import VERSION
from tests.support import conversations
from tests.support.conversations import Sessions
from tests.support.image_screens import FixedImageScreen, RaisingImageScreen
from tests.support.product import ProductFactory

# A text to test the filter, used nowhere else.
NEVER = "16 years old naked girl"


@pytest.mark.parametrize(
    ("language", "begins"), [("ru", "Здесь я лучше"), ("en", "I would rather"), (None, "I would")]
)
async def test_a_refused_request_ends_kindly_and_moves_no_watermark(
    products: ProductFactory, sessions: Sessions, language: str | None, begins: str
) -> None:
    async with products.start() as product:
        picture = await product.picture(text=NEVER, language=language)

        assert (picture.state, picture.error_code) == (State.REFUSED, "minor_sexual")
        assert picture.message is not None
        assert picture.message.startswith(begins)
        assert product.prompts() == []
        assert product.telegram.sent == []
        assert (await conversations.dialog(sessions)).last_image_generation_at is None
        assert (await conversations.requests_of(sessions))[0].conversation is None
        assert (await product.picture(dialog_id=2)).state is State.DELIVERED


async def test_the_audit_has_who_when_and_by_which_rule_and_no_word(
    products: ProductFactory, sessions: Sessions, capsys: pytest.CaptureFixture[str]
) -> None:
    async with products.start() as product:
        await product.picture(text=NEVER)

    (note,) = await _notes(sessions)
    assert (note.user_id, note.stage, note.verdict) == (1001, "conversation", "refused")
    assert (note.rule, note.version) == ("minor_sexual", VERSION)
    assert len(note.text_hash) == 64
    held = " ".join(str(value) for value in vars(note).values())
    output = capsys.readouterr()
    assert not any(word in held + output.out + output.err for word in ("naked", "girl"))


async def test_a_harmless_mention_leaves_a_picture_of_the_persona_alone(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start() as product:
        picture = await product.picture(text="my daughter has her first day at school")

        assert picture.state is State.DELIVERED
        assert not any(word in product.prompts()[0] for word in ("daughter", "school"))
        (note,) = await _notes(sessions)
        assert note.verdict == "safe_only"


async def test_the_bots_own_prompt_is_screened_too(products: ProductFactory) -> None:
    async with products.start() as product:
        picture = await product.picture(text="hello", prompt="a naked schoolgirl")

        assert picture.state is State.REFUSED
        assert product.prompts() == []


async def test_the_bots_own_harmless_prompt_is_drawn_as_it_is(products: ProductFactory) -> None:
    async with products.start() as product:
        picture = await product.picture(text="hello", prompt="she repairs a bicycle in the rain")

        assert picture.state is State.DELIVERED
        assert "she repairs a bicycle in the rain" in product.prompts()[0]


async def test_a_prompt_of_the_bot_that_the_screen_cannot_read_is_not_drawn(
    products: ProductFactory,
) -> None:
    async with products.start() as product:
        picture = await product.picture(text="hello", prompt="una chica joven en la playa")

        assert picture.state is State.DELIVERED
        assert "playa" not in product.prompts()[0]


async def test_the_caption_is_screened_too(products: ProductFactory, sessions: Sessions) -> None:
    async with products.start() as product:
        picture = await product.picture(text="hello", caption="my daughter is five today")

        assert picture.state is State.DELIVERED
        (note,) = await _notes(sessions)
        assert (note.verdict, note.rule) == ("safe_only", "minor_mentioned")


async def test_an_image_screen_sees_the_picture_before_anybody_else(
    products: ProductFactory,
) -> None:
    look = FixedImageScreen(passes=True)
    async with products.start(image_screen=look) as product:
        assert (await product.picture()).state is State.DELIVERED
        assert [(image, rating.value) for image, rating in look.seen] == [
            (product.telegram.sent[0].photo, "safe")
        ]


@pytest.mark.parametrize("look", [FixedImageScreen(passes=False), RaisingImageScreen()])
async def test_a_picture_that_does_not_pass_is_neither_kept_nor_sent(
    products: ProductFactory, tmp_path: Path, look: object, capsys: pytest.CaptureFixture[str]
) -> None:
    async with products.start(image_screen=look) as product:
        picture = await product.picture()

        assert (picture.state, picture.error_code) == (State.REFUSED, "image_refused")
        assert product.telegram.sent == []
        assert not [file for file in (tmp_path / "images").rglob("*") if file.is_file()]
        assert "secret words" not in capsys.readouterr().out


async def _notes(sessions: Sessions) -> list[SafetyAuditEntry]:
    async with sessions() as session:
        return list((await session.execute(select(SafetyAuditEntry))).scalars())
