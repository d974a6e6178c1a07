"""A worker that is killed at one step after another draws once and sends once all the same."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chatflow_hook.tables import State
from imagegen.comfy.address import HostAddress
from tests.support import worker_process
from tests.support.product import ProductFactory
from tests.support.proxied_comfyui import watched
from tests.support.worker_process import QUICK, WorkerProcess

# The start of the worker, and the rest of the lease of the one before.
STEP_S = 60.0
# While the prompt is still in its sampler.
DEAF_S = 5.0
STEPS = ("POST /prompt", "progress", "GET /view", "POST /history")


@dataclass
class Killer:
    """Kills the worker that is set at the step that is next."""

    steps: list[str]
    worker: WorkerProcess | None = None
    killed: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, step: str) -> bool:
        if self.worker is None or not self.steps or step != self.steps[0]:
            return False
        self._kill(self.worker)
        return True

    async def has_killed(self, *, at: str) -> None:
        """Wait until the worker was killed at this step."""
        try:
            async with asyncio.timeout(DEAF_S if at == "progress" else STEP_S):
                await self.killed.wait()
        except TimeoutError:
            # A reconnected socket may get no frames (ComfyUI): then no frame shows that the prompt
            # is in its sampler.
            if at != "progress" or self.worker is None:
                raise
            self._kill(self.worker)
        self.killed.clear()

    def _kill(self, worker: WorkerProcess) -> None:
        self.steps.pop(0)
        worker.kill()
        self.worker = None
        self.killed.set()


@pytest.mark.timeout(180)
async def test_a_worker_killed_at_each_step_in_turn_draws_once_and_sends_once(
    products: ProductFactory, tmp_path: Path
) -> None:
    killer = Killer(list(STEPS))
    # Long enough that the second worker still finds the prompt in its sampler.
    async with (
        products.start(works=False, seconds_per_picture=15.0) as product,
        watched(product.hosts[0].address, killer) as address,
    ):
        hosts = (HostAddress.parse(address),)
        settings = product.settings.model_copy(update={"comfyui_hosts": hosts})
        variables = worker_process.environment(settings, COMFYUI_LOOK_AFTER="2")
        request = await product.ask()
        for number in range(len(STEPS)):
            async with worker_process.running(
                tmp_path / f"home{number}", variables, command=QUICK
            ) as worker:
                killer.worker = worker
                await killer.has_killed(at=STEPS[number])
        async with worker_process.running(tmp_path / "last", variables, command=QUICK):
            picture = await product.hook.wait(request, timeout=STEP_S)

    assert picture.state is State.DELIVERED
    assert len(product.hosts[0].posted) == 1
    assert len(product.hosts[0].drawn) == 1
    assert len(product.telegram.sent) == 1
