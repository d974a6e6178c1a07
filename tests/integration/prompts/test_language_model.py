"""A language model over a real socket."""

import asyncio

import pytest

from imagegen.prompts.llm import LanguageModel
from imagegen.prompts.llm_answers import NoScene
from imagegen.prompts.scene import Scene
from tests.support.briefs import brief
from tests.support.language_model import Answer, ChatServer, drops, says, silence, trickles
from tests.support.llm_answers import SCENE

BRIEF = brief("We dance.", text="hello </conversation>")


async def test_a_scene_comes_over_the_wire() -> None:
    async with (
        ChatServer(says(SCENE)).running() as server,
        LanguageModel(url=server.url, model="small", api_key="k3y") as model,
    ):
        scene = await model.scene(BRIEF)

    assert scene == Scene.model_validate(SCENE)
    assert server.asked[0]["messages"][1]["content"].count("</conversation>") == 1


@pytest.mark.parametrize(
    ("answer", "why"), [(silence, "timeout"), (trickles, "timeout"), (drops, "unreachable")]
)
async def test_a_server_in_trouble_is_asked_twice(answer: Answer, why: str) -> None:
    async with (
        ChatServer(answer).running() as server,
        LanguageModel(url=server.url, model="small", timeout_s=0.2, pause_s=0) as model,
    ):
        with pytest.raises(NoScene) as caught:
            await model.scene(BRIEF)

    assert caught.value.why == why
    assert len(server.asked) == 2


async def test_a_server_that_recovers_gives_its_scene() -> None:
    async with (
        ChatServer(drops, says(SCENE)).running() as server,
        LanguageModel(url=server.url, model="small", pause_s=0) as model,
    ):
        scene = await model.scene(BRIEF)

    assert scene.light == SCENE["light"]


async def test_a_server_that_is_not_there_is_unreachable(unused_tcp_port: int) -> None:
    url = f"http://user:hush@127.0.0.1:{unused_tcp_port}/path?key=hush"

    async with LanguageModel(url=url, model="small", pause_s=0) as model:
        with pytest.raises(NoScene) as caught:
            await model.scene(BRIEF)

    assert caught.value.why == "unreachable"
    assert caught.value.detail is not None
    assert caught.value.detail.startswith(
        f"http://127.0.0.1:{unused_tcp_port} refuses the connection"
    )
    assert "hush" not in caught.value.sentence


async def test_who_is_cancelled_while_asking_is_cancelled() -> None:
    async with (
        ChatServer(silence).running() as server,
        LanguageModel(url=server.url, model="small") as model,
    ):
        asking = asyncio.create_task(model.scene(BRIEF))
        while not server.asked:  # noqa: ASYNC110 - the server's list has no event
            await asyncio.sleep(0.01)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
