"""Hosts that die and come back while many pictures are drawn: all arrive, none twice.

`IMAGEGEN_REQUESTS=500 make test ARGS="tests/benchmarks -n 0 -s"` runs it in full and prints its figures.
"""

import asyncio
import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from chatflow_hook.tables import State
from tests.chat import Sessions
from tests.stage import Stage, Stages

REQUESTS = int(os.environ.get("IMAGEGEN_REQUESTS", "40"))
PATIENCE_S = 60.0 + REQUESTS


@pytest.mark.timeout(2 * PATIENCE_S)
async def test_hosts_that_die_and_come_back_lose_no_picture_and_send_none_twice(
    database_url: str, redis_url: str, sessions: Sessions, tmp_path: Path
) -> None:
    stages = Stages(database_url, redis_url, sessions, tmp_path / "images")
    chance = random.Random(7)
    began = time.monotonic()
    async with stages.set(
        hosts=4, seconds_per_picture=0.3, comfyui_away_timeout=1, comfyui_look_after=1
    ) as stage:
        trouble = asyncio.create_task(_trouble(stage, chance), name="trouble")
        asked = [await stage.ask(dialog_id=n, chat_id=n) for n in range(1, REQUESTS + 1)]
        pictures = await asyncio.gather(
            *(stage.hook.wait(each, timeout=PATIENCE_S) for each in asked)
        )
        trouble.cancel()
        await asyncio.wait([trouble])

    states = Counter(picture.state for picture in pictures)
    sends = Counter(message.chat_id for message in stage.telegram.sent)
    doubles = _doubles(stage)
    print(  # noqa: T201 (a benchmark says what it measured)
        f"\n{REQUESTS} requests in {time.monotonic() - began:.1f} s: {dict(states)}, "
        f"{sum(len(host.posted) for host in stage.hosts)} prompts posted, "
        f"{sum(len(host.drawn) for host in stage.hosts)} drawn, {doubles} drawn twice to the end"
    )
    assert states == {State.DELIVERED: REQUESTS}
    assert set(sends.values()) == {1}
    # A picture whose host died between its end and our fetch has to be drawn again.
    assert doubles <= max(2, REQUESTS // 20)


async def _trouble(stage: Stage, chance: random.Random) -> None:
    """Kill one host after the other, each for a second or two."""
    while True:
        host = chance.choice(stage.hosts)
        await asyncio.sleep(chance.uniform(0.5, 1.5))
        await host.kill()
        await asyncio.sleep(chance.uniform(0.5, 2.0))
        await host.start()


def _doubles(stage: Stage) -> int:
    """Count the requests of which more than one drawing came to its end."""
    origin = {
        posted.prompt_id: posted.extra_data["chatflow_request"]
        for host in stage.hosts
        for posted in host.posted
    }
    ends = Counter(
        origin[drawn.prompt_id] for host in stage.hosts for drawn in host.drawn if drawn.succeeded
    )
    return sum(count - 1 for count in ends.values())
