"""A request under which each worker dies is quarantined; those beside it get their pictures."""

from pathlib import Path

import pytest

from chatflow_hook.tables import State
from tests.support import worker_killed_at, worker_process
from tests.support.conversations import Sessions
from tests.support.product import ProductFactory
from tests.support.worker_killed_at import STEP_S
from tests.support.worker_process import QUICK

MOST = 3


@pytest.mark.timeout(300)
async def test_a_poisonous_request_is_put_aside_and_the_innocent_are_delivered(
    database_url: str, redis_url: str, sessions: Sessions, tmp_path: Path
) -> None:
    products = ProductFactory(database_url, redis_url, sessions, tmp_path / "images")
    changes = {"REQUEST_CRASHES": str(MOST)}
    async with products.start(works=False, seconds_per_picture=0.2) as product:
        poison = await product.ask(dialog_id=1, persona="una")
        innocent = [await product.ask(dialog_id=number, persona="may") for number in range(2, 6)]

        for number in range(MOST):
            await worker_killed_at.killed_at(
                "imagegen/pipeline/make_image.py:_generate_and_deliver",
                product,
                tmp_path / str(number),
                persona="una",
                # Or a send would be under way at a kill, and might have to be done again.
                TELEGRAM_API_URL="http://127.0.0.1:1",
                **changes,
            )
        variables = worker_killed_at.variables(product, **changes)
        async with worker_process.running(tmp_path / "last", variables, command=QUICK):
            pictures = [await product.hook.wait(each, timeout=STEP_S) for each in innocent]
            ended = await product.hook.wait(poison, timeout=STEP_S)

    assert (ended.state, ended.error_code) == (State.FAILED, "poison")
    ends = [(picture.state, picture.error_code) for picture in pictures]
    assert ends == [(State.DELIVERED, None)] * len(innocent)
    assert len(product.telegram.sent) == len(innocent)
