"""A worker that is killed between any two steps of a picture draws once and sends once."""

from pathlib import Path

import pytest
from sqlalchemy import select

from chatflow_hook.tables import State
from imagegen.db.tables import Delivery
from tests.support import conversations, worker_killed_at, worker_process
from tests.support.conversations import Sessions
from tests.support.product import ProductFactory
from tests.support.worker_process import QUICK

# Where the next step begins, what came before is committed or has been answered.
BEFORE_THE_POST = (
    "imagegen/requests/repository.py:RequestRepository.claim",
    "imagegen/pipeline/quarantine.py:Quarantine.admitted",
    "imagegen/workflows/binding.py:bind",
    "imagegen/requests/repository.py:RequestRepository.start_drawing",
    "imagegen/comfy/execution.py:PromptExecution.run",
)
AFTER_THE_POST = (
    "imagegen/pipeline/image_fetch.py:fetch_image",
    "imagegen/storage/filesystem.py:FilesystemImageStore.put",
    "imagegen/requests/repository.py:RequestRepository.mark_drawn",
    "imagegen/pipeline/deliver.py:deliver",
    "imagegen/requests/deliveries.py:Deliveries.start",
)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("places", [BEFORE_THE_POST, AFTER_THE_POST])
async def test_a_request_survives_the_death_of_its_worker_between_any_two_steps(
    products: ProductFactory, tmp_path: Path, places: tuple[str, ...]
) -> None:
    async with products.start(works=False) as product:
        request = await product.ask()
        for number, place in enumerate(places):
            await worker_killed_at.killed_at(place, product, tmp_path / str(number))
        async with worker_process.running(
            tmp_path / "last", worker_killed_at.variables(product), command=QUICK
        ):
            picture = await product.hook.wait(request, timeout=worker_killed_at.STEP_S)

        assert picture.state is State.DELIVERED
        assert len(product.hosts[0].posted) == 1
        assert len(product.hosts[0].drawn) == 1
        assert len(product.telegram.sent) == 1


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    ("place", "told"),
    [
        # Nobody can tell these two apart from outside: the row said "sending" in both.
        ("imagegen/delivery/telegram.py:Telegram.send", (["unknown", "sent"], 1)),
        (
            "imagegen/requests/repository.py:RequestRepository.mark_delivered",
            (["unknown", "sent"], 2),
        ),
        ("imagegen/pipeline/generate.py:ImageGeneration.clean_up_host", (["sent"], 1)),
        ("imagegen/queue/live_progress.py:LiveProgress.ended", (["sent"], 1)),
    ],
)
async def test_a_death_around_the_send_is_told_in_the_ledger(
    products: ProductFactory,
    sessions: Sessions,
    tmp_path: Path,
    place: str,
    told: tuple[list[str], int],
) -> None:
    outcomes, photos = told
    async with products.start(works=False) as product:
        request = await product.ask()
        await worker_killed_at.killed_at(place, product, tmp_path / "killed")
        async with worker_process.running(
            tmp_path / "last", worker_killed_at.variables(product), command=QUICK
        ):
            picture = await product.hook.wait(request, timeout=worker_killed_at.STEP_S)

        assert picture.state is State.DELIVERED
        assert len(product.telegram.sent) == photos
        assert len(product.hosts[0].posted) == 1
        async with sessions() as session:
            rows = await session.scalars(select(Delivery.outcome).order_by(Delivery.id))
            assert list(rows) == outcomes
        assert (
            await conversations.dialog(sessions)
        ).last_image_generation_at == request.message_count
