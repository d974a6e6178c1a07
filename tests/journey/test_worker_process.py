"""The worker as production runs it: a process of its own, ended in every way."""

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import pytest
from redis.asyncio import Redis

from chatflow_hook.queue import JOB, QUEUE, progress_key
from chatflow_hook.tables import State
from tests.support import fork_server, worker_process
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory, RunningProduct
from tests.support.worker_process import ARQ, IMAGEGEN, QUICK, READY_S, WorkerProcess

TEXT = "Зонтик and marmalade"
STORY = [
    "using host",
    "prompt queued",
    "prompt completed",
    "picture drawn",
    "picture delivered",
]
# The rest of a dead worker's lease, and one poll.
TAKEN_OVER_S = 10.0
# `--check` has to notice within this.
NOTICED_S = 15.0
HEALTH = f"{QUEUE}:health-check"


async def is_drawing(product: RunningProduct, worker: WorkerProcess) -> None:
    await worker.wait_until(lambda: product.hosts[0].posted, timeout_s=PATIENCE_S)


def check(variables: Mapping[str, str], home: Path) -> int:
    """Ask as a container's health check does."""
    command = [*QUICK, "--check"]
    return fork_server.shared().run(command, env=variables, cwd=home, timeout=READY_S).returncode


async def is_gone(redis_url: str, key: str, *, timeout_s: float) -> bool:
    """Wait until a key has expired; its time to live says how long that takes."""
    ends = time.monotonic() + timeout_s
    async with Redis.from_url(redis_url, db=3) as redis:
        while time.monotonic() < ends:
            if not await redis.exists(key):
                return True
            await asyncio.sleep(0.05)
    return False


async def content(redis_url: str, db: int) -> dict[str, str]:
    """Return the strings of a Redis database, by key."""
    async with Redis.from_url(redis_url, db=db, decode_responses=True) as redis:
        keys = [key for key in await redis.keys("*") if await redis.type(key) == "string"]
        return {key: await redis.get(key) or "" for key in keys}


@pytest.mark.parametrize("command", [ARQ, IMAGEGEN], ids=["arq", "imagegen"])
async def test_a_picture_is_delivered_in_six_lines_and_sigterm_is_no_fault(
    products: ProductFactory, tmp_path: Path, command: tuple[str, ...]
) -> None:
    async with products.start(works=False) as product:
        variables = worker_process.environment(product.settings)
        async with worker_process.running(
            tmp_path / "home", variables, command=command, is_forked=False
        ) as worker:
            request = await product.ask(text=TEXT)
            picture = await product.hook.wait(request, timeout=PATIENCE_S)
            await worker.wait_for_log("picture delivered")
            code = await worker.stop()

    assert (picture.state, code) == (State.DELIVERED, 0)
    assert worker.events_of(request.id) == STORY
    assert [line for line in worker.events if line["level"] != "info"] == []
    assert "Traceback" not in worker.output
    assert "marmalade" not in worker.output


async def test_every_line_of_the_log_is_json(products: ProductFactory, tmp_path: Path) -> None:
    async with products.start(works=False) as product:
        variables = worker_process.environment(product.settings)
        # arq's own command says two lines of its own before it lets us set up the logging.
        async with worker_process.running(tmp_path / "home", variables, command=IMAGEGEN) as worker:
            await worker.stop()

    events = [json.loads(line)["event"] for line in worker.output.splitlines()]
    assert events == ["worker ready", "worker stops", "worker stopped"]


async def test_the_check_is_good_while_it_runs_and_fails_soon_after_a_kill(
    products: ProductFactory, redis_url: str, tmp_path: Path
) -> None:
    async with products.start(works=False) as product:
        variables = worker_process.environment(product.settings)
        async with worker_process.running(tmp_path / "home", variables, command=QUICK) as worker:
            while_it_runs = check(variables, tmp_path)

            worker.kill()

            assert while_it_runs == 0
            assert await is_gone(redis_url, HEALTH, timeout_s=NOTICED_S)
            assert check(variables, tmp_path) != 0


async def test_what_a_killed_worker_was_drawing_is_delivered_by_the_next(
    products: ProductFactory, tmp_path: Path
) -> None:
    async with products.start(works=False, seconds_per_picture=1.0) as product:
        variables = worker_process.environment(product.settings)
        request = await product.ask()
        async with worker_process.running(tmp_path / "home", variables) as first:
            await is_drawing(product, first)

            first.kill()

        async with worker_process.running(tmp_path / "home", variables):
            picture = await product.hook.wait(request, timeout=TAKEN_OVER_S)

        assert picture.state is State.DELIVERED
        assert len(product.telegram.sent) == 1


async def test_redis_holds_ids_and_json_and_nothing_that_was_said(
    products: ProductFactory, redis_url: str, tmp_path: Path
) -> None:
    async with products.start(works=False, seconds_per_picture=2.0) as product:
        request = await product.ask(text=TEXT, reply="Of course", caption="Look")
        variables = worker_process.environment(product.settings)
        async with worker_process.running(tmp_path / "home", variables) as worker:
            live = progress_key(request.id)
            async with Redis.from_url(redis_url, db=4) as redis:
                while not await redis.exists(live):
                    assert worker.is_running
                    await asyncio.sleep(0.02)
            queue, news = await content(redis_url, 3), await content(redis_url, 4)

    job = json.loads(queue[f"arq:job:{request.id}"])
    assert [UUID(argument) for argument in job["a"]] == [request.id]
    assert (job["f"], job["k"]) == (JOB, {})
    # And what the worker says of itself and its hosts.
    published = ("imagegen:hosts:", "imagegen:worker:")
    assert {key for key in news if not key.startswith(published)} == {live}
    assert json.loads(news[live]).keys() == {"host", "share"}
    for said in ("marmalade", "Of course", "Look"):
        assert said not in str([*queue.values(), *news.values()])
