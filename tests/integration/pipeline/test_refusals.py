"""Requests that are refused: how they end, and what the safety notes say of them."""

from pathlib import Path

import pytest
from sqlalchemy import select

from chatflow_hook import Rating
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

    notes = await _notes(sessions)
    assert {(note.rule, note.verdict) for note in notes} == {
        ("minor_sexual", "refused"),
        ("minor_mentioned", "safe_only"),
    }
    note = notes[0]
    assert (note.user_id, note.stage, note.version) == (1001, "conversation", VERSION)
    assert len(note.text_hash) == 64
    held = " ".join(str(value) for value in vars(note).values())
    output = capsys.readouterr()
    assert not any(word in held + output.out + output.err for word in ("naked", "girl"))


async def test_each_finding_is_a_row_of_the_audit(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start() as product:
        await product.picture(text="Taylor Swift is drunk, my daughter is at home")

    notes = {(note.stage, note.verdict, note.rule) for note in await _notes(sessions)}
    assert notes == {
        ("conversation", "safe_only", "minor_mentioned"),
        ("conversation", "safe_only", "real_person"),
        ("conversation", "safe_rating", "helpless"),
    }


async def test_who_is_asleep_keeps_the_scene_of_the_picture(products: ProductFactory) -> None:
    async with products.start() as product:
        picture = await product.picture(text="hello", prompt="she is asleep on a green sofa")

        assert picture.state is State.DELIVERED
        assert "asleep on a green sofa" in product.prompts()[0]


async def test_a_prompt_that_is_kept_tame_is_in_the_audit(
    products: ProductFactory, sessions: Sessions
) -> None:
    # A private person may be spoken of, but is not drawn above safe.
    prompt = "she dances with my colleague Emma Brook"
    async with products.start(max_rating="suggestive") as product:
        await product.hook.confirm_age(1001)
        picture = await product.picture(prompt=prompt, rating=Rating.SUGGESTIVE)

        assert picture.state is State.DELIVERED
        assert "Emma" not in product.prompts()[0]
    (note,) = await _notes(sessions)
    assert (note.stage, note.verdict, note.rule) == ("prompt", "safe_only", "real_person")


async def test_a_prompt_of_the_bot_that_is_thrown_away_is_in_the_audit(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start() as product:
        await product.picture(text="hello", prompt="naked at the lake")

    (note,) = await _notes(sessions)
    assert (note.stage, note.verdict, note.rule) == ("scene", "safe_only", "bare")


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
    products: ProductFactory,
    sessions: Sessions,
    tmp_path: Path,
    look: object,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with products.start(image_screen=look) as product:
        picture = await product.picture()

        assert (picture.state, picture.error_code) == (State.REFUSED, "image_refused")
        assert product.telegram.sent == []
        assert not [file for file in (tmp_path / "images").rglob("*") if file.is_file()]
        assert "secret words" not in capsys.readouterr().out
    (note,) = await _notes(sessions)
    assert (note.stage, note.verdict, note.rule) == ("image", "refused", "image_refused")


async def _notes(sessions: Sessions) -> list[SafetyAuditEntry]:
    async with sessions() as session:
        return list((await session.execute(select(SafetyAuditEntry))).scalars())
