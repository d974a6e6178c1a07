"""Another worker takes over what a killed worker had begun, within seconds."""

import signal
import time
from pathlib import Path

import pytest

from chatflow_hook.tables import State
from imagegen.sandbox.telegram.faults import Trouble
from tests.support import worker_killed_at, worker_process
from tests.support.conversations import Sessions
from tests.support.product import ProductFactory
from tests.support.worker_killed_at import STEP_S
from tests.support.worker_process import QUICK

# Promised: from the kill to the other worker's first log entry of the request.
WITHIN_S = 10.0


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    "place",
    [
        "imagegen/pipeline/make_image.py:make_image",  # locked by arq, and not by us yet
        "imagegen/queue/job_lease.py:_renew",  # about to renew it for the first time
        "imagegen/comfy/execution.py:PromptExecution.run",
        "imagegen/pipeline/make_image.py:_retry_delay_s",  # about to ask arq for a retry
    ],
)
async def test_a_dead_workers_request_is_taken_over_within_ten_seconds(
    database_url: str, redis_url: str, sessions: Sessions, tmp_path: Path, place: str
) -> None:
    products = ProductFactory(database_url, redis_url, sessions, tmp_path / "images")
    async with (
        products.start(works=False) as product,
        worker_process.running(
            tmp_path / "standby", worker_killed_at.variables(product), command=QUICK
        ) as standby,
    ):
        if place.endswith("_retry_delay_s"):
            product.telegram.script(Trouble.flood(3), method="sendPhoto")
        standby.ask_to_stop(signal.SIGSTOP)
        request = await product.ask()
        await worker_killed_at.killed_at(place, product, tmp_path / "killed")

        standby.ask_to_stop(signal.SIGCONT)
        died_at = time.monotonic()
        await standby.wait_until(lambda: standby.events_of(request.id), timeout_s=STEP_S)
        took_s = time.monotonic() - died_at

        picture = await product.hook.wait(request, timeout=STEP_S)
    assert took_s < WITHIN_S
    assert picture.state is State.DELIVERED
    assert len(product.telegram.sent) == 1
