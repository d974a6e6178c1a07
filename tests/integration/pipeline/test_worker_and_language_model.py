"""A worker with a language model: its scene is drawn, and without it the template writes one."""

from chatflow_hook import Request
from chatflow_hook.tables import State
from tests.support import conversations
from tests.support.conversations import Sessions
from tests.support.language_model import ChatServer, says, silence
from tests.support.llm_answers import SCENE
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
        await product.hook.wait(varied, timeout=20)
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


async def test_a_scene_of_somebody_under_age_is_thrown_away(products: ProductFactory) -> None:
    scene = {**SCENE, "scene": "in a school yard with a young girl"}
    async with (
        ChatServer(says(scene)).running() as model,
        products.start(prompt_llm_url=model.url) as product,
    ):
        assert (await product.picture()).state is State.DELIVERED
        assert "school" not in product.prompts()[0]


async def test_a_talk_of_children_never_reaches_the_model(products: ProductFactory) -> None:
    async with (
        ChatServer(says(SCENE)).running() as model,
        products.start(prompt_llm_url=model.url) as product,
    ):
        assert (await product.picture(text="my daughter is at home")).state is State.DELIVERED
        assert model.asked == []
