"""The client against hosts and proxies that misbehave, on real sockets."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from imagegen.comfy.errors import DrawingFailed, DrawingStalled, HostLost, PromptLost, PromptRefused
from tests.support.comfyui_client import graph_without_model
from tests.support.misbehaving_comfyui import (
    STARTS,
    SUCCEEDS,
    Answer,
    answer_bytes,
    answer_html,
    answer_json,
    frame,
    hangs_up,
    misbehaving,
    never_answers,
    sends,
    sends_and_closes,
)
from tests.support.prompt_execution import LIMITS, MS, PROMPT, client, draw, prompt_job

IMAGES = {"2": {"images": [{"filename": "a.png", "subfolder": "", "type": "temp"}]}}
FINISHED = {
    PROMPT: {"status": {"status_str": "success", "messages": []}, "outputs": IMAGES},
}
FAILED = {
    PROMPT: {"status": {"status_str": "error", "messages": [["execution_error", {}]]}},
}
IS_FINISHED = {"GET /history": answer_json(FINISHED)}


async def test_the_websocket_is_there_before_the_prompt() -> None:
    async with (
        misbehaving(sends(STARTS, SUCCEEDS), IS_FINISHED) as server,
        client(server.address) as host,
    ):
        await draw(host, graph_without_model(1))

    assert server.routes == ["GET /ws", "POST /prompt", "GET /history"]


async def test_prompt_and_client_have_one_id() -> None:
    graph = graph_without_model(1)
    job = replace(prompt_job(graph), origin="a request")
    async with (
        misbehaving(sends(STARTS, SUCCEEDS), IS_FINISHED) as server,
        client(server.address) as host,
    ):
        await host.execution(job).run()

    assert server.bodies("POST /prompt") == [
        {
            "prompt": graph,
            "prompt_id": PROMPT,
            "client_id": PROMPT,
            "extra_data": {"chatflow_request": "a request"},
        }
    ]


async def test_frames_about_other_prompts_are_ignored() -> None:
    other = {"prompt_id": "another"}
    frames = sends(
        {"event": "execution_success", **other},
        {"event": "execution_error", **other},
        {"event": "executing", "node": None, **other},
        frame("executing", node=None),
        {"event": "execution_interrupted", **other},
        frame("crystools.monitor", cpu=99),
        b"\0\0\0\x4d",
        STARTS,
        {"event": "execution_error", "node_id": "1", "node_type": "Mine"},
    )
    answers = {"GET /history": answer_json(FAILED)}
    async with misbehaving(frames, answers) as server, client(server.address) as host:
        with pytest.raises(DrawingFailed):
            await draw(host, graph_without_model(1))

    assert server.routes.index("GET /history") == 2


@pytest.mark.parametrize("garbage", ["no json", "[]", b"\0", b"\0\0\0\4\xff\xff\xff\xff"])
async def test_garbage_on_the_websocket_does_not_cost_the_picture(garbage: str | bytes) -> None:
    async with (
        misbehaving(sends(STARTS, garbage), IS_FINISHED) as server,
        client(server.address) as host,
    ):
        result = await draw(host, graph_without_model(1))

    assert len(result.images) == 1


async def test_a_websocket_that_closes_while_it_draws_leads_to_two_looks() -> None:
    async with misbehaving(sends_and_closes(STARTS)) as server, client(server.address) as host:
        with pytest.raises(PromptLost, match="knows nothing"):
            await draw(host, graph_without_model(1))

    assert server.routes[2:] == 2 * ["GET /history", "GET /queue", "GET /history"]


async def test_what_was_finished_unheard_is_found_in_the_history() -> None:
    shares: list[float] = []
    async with (
        misbehaving(sends_and_closes(STARTS), IS_FINISHED) as server,
        client(server.address) as host,
    ):
        result = await draw(host, graph_without_model(1), on_progress=shares.append)

    assert len(result.images) == 1
    assert shares[-1] == 1
    assert "POST /interrupt" not in server.routes


async def test_what_failed_unheard_still_costs_an_attempt_and_leaves_no_entry() -> None:
    answers = {"GET /history": answer_json(FAILED)}
    async with (
        misbehaving(sends_and_closes(STARTS), answers) as server,
        client(server.address) as host,
    ):
        with pytest.raises(DrawingFailed) as caught:
            await draw(host, graph_without_model(1))

    assert caught.value.costs_an_attempt
    assert server.bodies("POST /history") == [{"delete": [PROMPT]}]


async def test_a_prompt_that_does_not_move_is_taken_off_by_its_id() -> None:
    limits = replace(LIMITS, silence_s=50 * MS)
    async with (
        misbehaving(sends(STARTS), _runs_until_interrupted()) as server,
        client(server.address, limits) as host,
    ):
        drawing = host.execution(prompt_job(graph_without_model(1)))
        with pytest.raises(DrawingStalled, match=r"for 0\.05 s"):
            await drawing.run()

    assert server.bodies("POST /interrupt") == [{"prompt_id": PROMPT}]
    assert not drawing.leaves_a_stray


async def test_an_answer_lost_before_the_prompt_arrived_leaves_a_stray_to_look_for() -> None:
    answers = {"POST /prompt": hangs_up}
    async with misbehaving(answers=answers) as server, client(server.address) as host:
        drawing = host.execution(prompt_job(graph_without_model(1)))
        with pytest.raises(HostLost, match="does not answer /prompt"):
            await drawing.run()

    assert drawing.leaves_a_stray
    assert server.routes.count("POST /prompt") == 1


async def test_an_answer_lost_after_the_prompt_was_drawn_does_not_draw_it_again() -> None:
    answers = {"POST /prompt": hangs_up, **IS_FINISHED}
    async with misbehaving(answers=answers) as server, client(server.address) as host:
        await draw(host, graph_without_model(1))

    assert server.routes == ["GET /ws", "POST /prompt", "GET /history"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (answer_html("<h1>Bad Gateway</h1>", 502), "answers 502 to /prompt"),
        (answer_html("<h1>Welcome</h1>"), "with no JSON"),
        (answer_html("<h1>Who are you?</h1>", 400), "with no JSON"),
        (answer_json([]), "with no JSON object"),
        (answer_json({}, 401), "answers 401 to /prompt"),
        (answer_html("[" * 100_000), "with no JSON"),
        (answer_bytes(40 * 2**20), "with more than"),
    ],
    ids=["502", "page", "page-400", "list", "401", "deep", "long"],
)
async def test_an_answer_of_no_comfyui_is_a_lost_host(answer: Answer, reason: str) -> None:
    answers = {"POST /prompt": answer, "GET /history": answer_json({})}
    async with misbehaving(answers=answers) as server, client(server.address) as host:
        with pytest.raises(HostLost, match=reason):
            await draw(host, graph_without_model(1))


async def test_a_refusal_in_a_form_of_its_own_is_a_refusal() -> None:
    answers = {"POST /prompt": answer_json({"error": "not today"}, 400)}
    async with misbehaving(answers=answers) as server, client(server.address) as host:
        with pytest.raises(PromptRefused, match="refuses the graph"):
            await draw(host, graph_without_model(1))


async def test_a_websocket_that_is_refused_is_a_lost_host() -> None:
    async with (
        misbehaving(answers={"GET /ws": answer_html("Forbidden", 403)}) as server,
        client(server.address) as host,
    ):
        with pytest.raises(HostLost, match="opens no websocket"):
            await draw(host, graph_without_model(1))

    assert "POST /prompt" not in server.routes


async def test_a_websocket_that_does_not_greet_gets_no_prompt() -> None:
    limits = replace(LIMITS, request_s=500 * MS)
    async with misbehaving(greets=False) as server, client(server.address, limits) as host:
        with pytest.raises(HostLost, match="says nothing"):
            await draw(host, graph_without_model(1))

        await server.wait_until_no_websocket()
    assert "POST /prompt" not in server.routes


@pytest.mark.parametrize("route", ["GET /ws", "POST /prompt"])
async def test_a_host_that_takes_for_ever_is_lost(route: str) -> None:
    limits = replace(LIMITS, request_s=50 * MS, unreachable_s=200 * MS)
    answers = {route: never_answers, "GET /history": answer_json({})}
    async with misbehaving(answers=answers) as server, client(server.address, limits) as host:
        with pytest.raises(HostLost):
            await draw(host, graph_without_model(1))


async def test_a_host_that_is_lost_for_good_is_waited_for_and_may_keep_a_stray() -> None:
    limits = replace(LIMITS, unreachable_s=300 * MS)
    answers = {"GET /history": hangs_up}
    async with (
        misbehaving(sends_and_closes(STARTS), answers) as server,
        client(server.address, limits) as host,
    ):
        drawing = host.execution(prompt_job(graph_without_model(1)))
        with pytest.raises(HostLost, match="does not answer /history"):
            await drawing.run()

    assert drawing.leaves_a_stray
    assert server.routes.count("GET /history") > 1


async def test_no_task_and_no_websocket_is_left_when_a_call_ends_or_is_cancelled() -> None:
    async with misbehaving(sends(STARTS)) as server:
        before = asyncio.all_tasks()
        async with client(server.address) as host:
            drawing = asyncio.create_task(draw(host, graph_without_model(1)))
            await server.called("POST /prompt")
            drawing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await drawing
            await server.wait_until_no_websocket()

        await _settled(before)
    assert server.routes == ["GET /ws", "POST /prompt"]


def _runs_until_interrupted() -> dict[str, Answer]:
    running = [[0, PROMPT, {}, {}, []]]

    async def queue(_: web.Request) -> web.StreamResponse:
        return web.json_response({"queue_running": running, "queue_pending": []})

    async def interrupt(_: web.Request) -> web.StreamResponse:
        running.clear()
        return web.Response()

    return {"GET /queue": queue, "POST /interrupt": interrupt}


async def _settled(before: set["asyncio.Task[Any]"]) -> None:
    """Wait until all tasks that were started since then have ended; the server's end with its websocket."""
    left = asyncio.all_tasks() - before
    if left:
        _, pending = await asyncio.wait(left, timeout=10)
        assert not pending
