"""A worker that was frozen while another took its request over does nothing visible afterwards."""

import signal
from pathlib import Path

import pytest

from chatflow_hook.tables import State
from tests.support import conversations, worker_killed_at, worker_process
from tests.support.conversations import Sessions
from tests.support.product import ProductFactory
from tests.support.worker_killed_at import STEP_S
from tests.support.worker_process import QUICK


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    "place",
    [
        "imagegen/requests/repository.py:RequestRepository.start_drawing",  # it would write
        "imagegen/comfy/execution.py:PromptExecution.run",  # it would post
        "imagegen/requests/deliveries.py:Deliveries.start",  # it would write, then send
        "imagegen/pipeline/deliver.py:_send",  # it has written and would send
    ],
)
async def test_a_worker_that_wakes_up_after_a_takeover_posts_sends_and_writes_nothing(
    products: ProductFactory, sessions: Sessions, tmp_path: Path, place: str
) -> None:
    async with products.start(works=False) as product:
        request = await product.ask()
        async with worker_killed_at.interrupted(
            signal.SIGSTOP, place, product, tmp_path / "asleep"
        ) as asleep:
            await asleep.wait_until_stopped(timeout_s=STEP_S)
            async with worker_process.running(
                tmp_path / "awake", worker_killed_at.variables(product), command=QUICK
            ):
                picture = await product.hook.wait(request, timeout=STEP_S)
            row = conversations.columns(await conversations.row(sessions, request.id))

            asleep.ask_to_stop(signal.SIGCONT)
            await asleep.wait_for_log("claim lost")

    assert picture.state is State.DELIVERED
    assert len(product.hosts[0].posted) == 1
    assert len(product.telegram.sent) == 1
    assert conversations.columns(await conversations.row(sessions, request.id)) == row
