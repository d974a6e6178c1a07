"""A worker with a language model: its scene is drawn, and without it the template writes one."""

import pytest
from sqlalchemy import select

from chatflow_hook import Rating, Request
from chatflow_hook.tables import State
from imagegen.db.tables import SafetyAuditEntry
from imagegen.sandbox.comfyui import Fault
from tests.support import conversations
from tests.support.conversations import Sessions
from tests.support.language_model import ChatServer, says, silence
from tests.support.llm_answers import SCENE
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory


async def test_the_models_scene_is_drawn_and_kept_for_variations(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with (
        ChatServer(says(SCENE)).running() as model,
        products.start(prompt_llm_url=model.url) as product,
    ):
        picture = await product.picture()

        assert picture.state is State.DELIVERED
        assert SCENE["scene"] in product.prompts()[0]
        (row,) = await conversations.requests_of(sessions)
        assert row.scene is not None
        assert row.scene["source"] == "llm"
        varied = await product.hook.vary(row.id)
        assert isinstance(varied, Request)
        await product.hook.wait(varied, timeout=PATIENCE_S)
        assert SCENE["scene"] in product.prompts()[1]
        assert len(model.asked) == 1


async def test_a_silent_model_costs_two_short_waits_and_no_picture(
    products: ProductFactory,
) -> None:
    async with (
        ChatServer(silence).running() as model,
        products.start(prompt_llm_url=model.url, prompt_llm_timeout=0.2) as product,
    ):
        assert (await product.picture()).state is State.DELIVERED
        assert len(model.asked) == 2


async def test_a_scene_of_somebody_under_age_is_thrown_away(
    products: ProductFactory, sessions: Sessions
) -> None:
    scene = {**SCENE, "scene": "in a school yard with a young girl"}
    async with (
        ChatServer(says(scene)).running() as model,
        products.start(prompt_llm_url=model.url) as product,
    ):
        assert (await product.picture()).state is State.DELIVERED
        assert "school" not in product.prompts()[0]
    assert await _findings(sessions) == {
        ("scene", "refused", "minor_drawn"),
        ("scene", "safe_only", "minor_mentioned"),
    }


@pytest.mark.parametrize("minor", [True, "yes"])
async def test_a_model_that_says_that_a_minor_is_meant_keeps_the_picture_safe(
    products: ProductFactory, sessions: Sessions, *, minor: object
) -> None:
    async with (
        ChatServer(says({**SCENE, "minor": minor})).running() as model,
        products.start(prompt_llm_url=model.url, max_rating="suggestive") as product,
    ):
        # The first job fails, and the second does not ask the model again: it is safe all the same.
        product.hosts[0].script(Fault.parse("deleted"))
        await product.hook.confirm_age(1001)
        picture = await product.picture(rating=Rating.SUGGESTIVE)

        assert picture.state is State.DELIVERED
        assert not any(SCENE["scene"] in prompt for prompt in product.prompts())
        assert not any("flirtatious" in prompt for prompt in product.prompts())
        (row,) = await conversations.requests_of(sessions)
        assert row.drawn_rating == "safe"
        assert (len(product.prompts()), len(model.asked)) == (2, 1)
    assert await _findings(sessions) == {("scene", "safe_only", "minor")}


async def test_a_model_that_says_that_no_minor_is_meant_raises_nothing(
    products: ProductFactory,
) -> None:
    async with (
        ChatServer(says({**SCENE, "minor": False})).running() as model,
        products.start(prompt_llm_url=model.url, max_rating="suggestive") as product,
    ):
        await product.hook.confirm_age(1001)
        await product.picture(rating=Rating.SUGGESTIVE, text="my daughter is at home")
        await product.picture(dialog_id=2, text="hello")

        assert [message.has_spoiler for message in product.telegram.sent] == [False, False]
        assert len(model.asked) == 1


async def test_a_talk_of_children_never_reaches_the_model(products: ProductFactory) -> None:
    async with (
        ChatServer(says(SCENE)).running() as model,
        products.start(prompt_llm_url=model.url) as product,
    ):
        assert (await product.picture(text="my daughter is at home")).state is State.DELIVERED
        assert model.asked == []


async def _findings(sessions: Sessions) -> set[tuple[str, str, str]]:
    async with sessions() as session:
        notes = (await session.execute(select(SafetyAuditEntry))).scalars()
        return {(note.stage, note.verdict, note.rule) for note in notes}
