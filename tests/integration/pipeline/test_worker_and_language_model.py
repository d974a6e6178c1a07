"""A worker with a language model: its scene is drawn, and without it the template writes one."""

from chatflow_hook import Request
from chatflow_hook.tables import State
from tests.support import conversations
from tests.support.conversations import Sessions
from tests.support.language_model import ChatServer, says, silence
from tests.support.llm_answers import SCENE
from tests.support.product import Stages


async def test_the_models_scene_is_drawn_and_kept_for_variations(
    stages: Stages, sessions: Sessions
) -> None:
    async with (
        ChatServer(says(SCENE)).running() as model,
        stages.set(prompt_llm_url=model.url) as stage,
    ):
        picture = await stage.picture()

        assert picture.state is State.DELIVERED
        assert SCENE["scene"] in stage.prompts()[0]
        (row,) = await conversations.requests_of(sessions)
        assert row.scene is not None
        assert row.scene["source"] == "llm"
        varied = await stage.hook.vary(row.id)
        assert isinstance(varied, Request)
        await stage.hook.wait(varied, timeout=20)
        assert SCENE["scene"] in stage.prompts()[1]
        assert len(model.asked) == 1


async def test_a_silent_model_costs_two_short_waits_and_no_picture(stages: Stages) -> None:
    async with (
        ChatServer(silence).running() as model,
        stages.set(prompt_llm_url=model.url, prompt_llm_timeout=0.2) as stage,
    ):
        assert (await stage.picture()).state is State.DELIVERED
        assert len(model.asked) == 2


async def test_a_scene_of_somebody_under_age_is_thrown_away(stages: Stages) -> None:
    scene = {**SCENE, "scene": "in a school yard with a young girl"}
    async with (
        ChatServer(says(scene)).running() as model,
        stages.set(prompt_llm_url=model.url) as stage,
    ):
        assert (await stage.picture()).state is State.DELIVERED
        assert "school" not in stage.prompts()[0]


async def test_a_talk_of_children_never_reaches_the_model(stages: Stages) -> None:
    async with (
        ChatServer(says(SCENE)).running() as model,
        stages.set(prompt_llm_url=model.url) as stage,
    ):
        assert (await stage.picture(text="my daughter is at home")).state is State.DELIVERED
        assert model.asked == []
