"""The pool with real clients and sandbox hosts."""

import asyncio
from collections import Counter
from uuid import UUID

import pytest

from imagegen.comfy.errors import HostLost
from imagegen.comfy.pool import Pool
from imagegen.sandbox.comfyui import SandboxComfyUI
from tests.comfyui_guest import MODELS, portrait, visit
from tests.drawing import MS, client, unheeded

LONG_S = 60.0


async def test_two_hosts_draw_in_parallel_and_share_the_work() -> None:
    one = SandboxComfyUI(models=MODELS, seconds_per_picture=100 * MS)
    two = SandboxComfyUI(models=MODELS, seconds_per_picture=100 * MS)
    async with one, two, client(one.address) as first, client(two.address) as second:
        pool = Pool([first, second])

        await asyncio.gather(*(_draw(pool, number) for number in range(8)))

    assert (len(one.drawn), len(two.drawn)) == (4, 4)
    assert min(one.drawn[-1].when, two.drawn[-1].when) > max(one.drawn[0].when, two.drawn[0].when)
    assert (pool.taken, pool.waiting) == (0, 0)


async def test_a_host_has_one_prompt_drawing_and_one_waiting() -> None:
    sandbox = SandboxComfyUI(models=MODELS, seconds_per_picture=LONG_S)
    async with sandbox, client(sandbox.address) as host, visit(sandbox.address) as guest:
        pool = Pool([host])
        jobs = [asyncio.create_task(_draw(pool, number), name="job") for number in range(4)]

        while (await guest.hear("status"))["status"]["exec_info"]["queue_remaining"] < 2:
            pass

        assert (pool.taken, pool.waiting) == (2, 2)
        for job in jobs:
            job.cancel()
        await asyncio.wait(jobs)
    assert len(sandbox.posted) == 2


async def test_when_a_host_dies_the_other_draws_the_rest() -> None:
    dead = SandboxComfyUI(models=MODELS)
    alive = SandboxComfyUI(models=MODELS)
    async with dead, alive, client(dead.address) as first, client(alive.address) as second:
        await dead.kill()
        pool = Pool([first, second])

        ends = await asyncio.gather(
            *(_draw(pool, number) for number in range(6)), return_exceptions=True
        )

    outcomes = Counter(type(end) for end in ends)
    assert outcomes == {type(None): 4, HostLost: 2}
    assert len(alive.drawn) == 4


async def test_a_host_that_came_back_is_used_again() -> None:
    now = 0.0
    sandbox = SandboxComfyUI(models=MODELS)
    async with sandbox, client(sandbox.address) as host:
        pool = Pool([host], clock=lambda: now)
        await sandbox.kill()
        with pytest.raises(HostLost):
            await _draw(pool, 1)
        await sandbox.start()

        now = 10.0
        await asyncio.gather(_draw(pool, 2), _draw(pool, 3))

    assert len(sandbox.drawn) == 2


async def _draw(pool: Pool, number: int) -> None:
    async with pool.lease("ash") as host:
        await host.draw(portrait(seed=number), str(UUID(int=number)), on_progress=unheeded)
