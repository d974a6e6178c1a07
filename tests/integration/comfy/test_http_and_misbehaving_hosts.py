"""Headers, history entries and images, with hosts and proxies that misbehave."""

from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import web

from imagegen.comfy.errors import HostLost, PromptLost
from imagegen.comfy.history import OutputImage
from imagegen.image_file import ImageTooLarge
from tests.support.comfyui_client import graph_without_model
from tests.support.misbehaving_comfyui import (
    STARTS,
    SUCCEEDS,
    Answer,
    answer_bytes,
    answer_html,
    answer_json,
    hangs_up,
    misbehaving,
    sends,
)
from tests.support.prompt_execution import PROMPT, client, draw, prompt_job

FILE = OutputImage(filename="a b+c&ä.png", subfolder="chatflow", type="temp")
IMAGES = {"2": {"images": [{"filename": "a.png", "subfolder": "", "type": "temp"}]}}
FINISHED = {
    PROMPT: {"status": {"status_str": "success", "messages": []}, "outputs": IMAGES},
}


async def test_headers_go_with_every_call_and_with_the_websocket() -> None:
    secret = {"Authorization": "Bearer hush", "X-Key": "key"}
    answers = {"GET /history": answer_json(FINISHED)}
    async with (
        misbehaving(sends(STARTS, SUCCEEDS), answers, prefix="/comfy") as server,
        client(server.address, headers=secret) as host,
    ):
        await draw(host, graph_without_model(1))
        await host.fetch(FILE)
        await host.delete_history(PROMPT)
        await host.cancel_prompt(PROMPT, within_s=10)

    assert len(server.calls) == 9
    for call in server.calls:
        assert (call.headers["Authorization"], call.headers["X-Key"]) == ("Bearer hush", "key")


async def test_a_redirect_does_not_carry_the_headers_elsewhere() -> None:
    async with misbehaving() as other:
        moved = _redirects(f"http://{other.address}/prompt")
        async with (
            misbehaving(answers={"GET /prompt": moved, "GET /ws": moved}) as server,
            client(server.address, headers={"X-Key": "key"}) as host,
        ):
            with pytest.raises(HostLost, match="sends us elsewhere"):
                await host.probe()
            with pytest.raises(HostLost, match="sends us elsewhere"):
                await draw(host, graph_without_model(1))

        assert other.calls == []


@pytest.mark.parametrize(
    "history",
    [{PROMPT: None}, {PROMPT: []}, {PROMPT: {}}, {PROMPT: {"status": "success"}}],
)
async def test_a_history_of_no_comfyui_is_unavailable(history: Mapping[str, Any]) -> None:
    answers = {"GET /history": answer_json(history)}
    async with misbehaving(answers=answers) as server, client(server.address) as host:
        with pytest.raises((HostLost, PromptLost)):
            await host.execution(prompt_job(graph_without_model(1))).resume()


async def test_the_history_is_asked_again_while_it_lags_behind() -> None:
    late = _in_turn(answer_json({}), answer_json({}), answer_json(FINISHED))
    answers = {"GET /history": late}
    frames = sends(STARTS, SUCCEEDS)
    async with misbehaving(frames, answers) as server, client(server.address) as host:
        result = await draw(host, graph_without_model(1))

    assert len(result.images) == 1


async def test_any_file_name_arrives_as_it_is() -> None:
    async with (
        misbehaving(answers={"GET /view": _echoes}) as server,
        client(server.address) as host,
    ):
        picture = await host.fetch(FILE)

    assert picture.decode() == f"{FILE.filename}|{FILE.subfolder}|{FILE.type}"


@pytest.mark.parametrize("answer", [answer_bytes(60 * 2**20), answer_html(" " * 60 * 2**20)])
async def test_a_picture_of_sixty_megabytes_is_too_large(answer: Answer) -> None:
    async with misbehaving(answers={"GET /view": answer}) as server, client(server.address) as host:
        with pytest.raises(ImageTooLarge) as caught:
            await host.fetch(FILE)

    assert caught.value.code == "picture_too_large"


@pytest.mark.parametrize("answer", [hangs_up, answer_html("<h1>Bad Gateway</h1>", 502)])
async def test_a_picture_that_cannot_be_fetched_is_a_lost_host(answer: Answer) -> None:
    async with misbehaving(answers={"GET /view": answer}) as server, client(server.address) as host:
        with pytest.raises(HostLost):
            await host.fetch(FILE)


def _redirects(url: str) -> Answer:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": url})

    return answer


def _in_turn(*answers: Answer) -> Answer:
    waiting = list(answers)

    async def answer(request: web.Request) -> web.StreamResponse:
        return await waiting.pop(0)(request)

    return answer


async def _echoes(request: web.Request) -> web.StreamResponse:
    query = request.query
    return web.Response(text=f"{query['filename']}|{query['subfolder']}|{query['type']}")
