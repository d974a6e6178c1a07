"""An image store that is full, read-only or gone is an outage: pictures are sent from memory."""

import asyncio
from pathlib import Path

import pytest

from chatflow_hook.tables import State
from imagegen.monitoring.checks import store_check
from imagegen.sandbox.telegram import Trouble
from imagegen.storage.filesystem import FilesystemImageStore
from imagegen.storage.store import StoreUnavailable
from tests.support import conversations, store_outage
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory

STORY = {"story": "a week by the sea", "text": "we sit on the beach"}


async def test_a_picture_is_sent_from_memory_and_its_prompt_is_deleted(
    products: ProductFactory, sessions: Sessions, tmp_path: Path
) -> None:
    async with products.start() as product:
        with store_outage.unusable(tmp_path / "images"):
            request = await product.ask()
            picture = await product.hook.wait(request, timeout=PATIENCE_S)

        assert picture.state is State.DELIVERED
        assert len(product.telegram.sent) == 1
        row = await conversations.row(sessions, request.id)
        assert (row.image, row.attempts, row.telegram_message_id) == (
            None,
            0,
            product.telegram.sent[0].message_id,
        )
        assert (await product.picture(dialog_id=2)).state is State.DELIVERED


async def test_a_send_that_has_to_wait_meanwhile_does_not_cost_a_second_drawing(
    products: ProductFactory, sessions: Sessions, tmp_path: Path
) -> None:
    async with products.start() as product:
        product.telegram.script(Trouble.flood(3), method="sendPhoto")
        with store_outage.unusable(tmp_path / "images"):
            request = await product.ask()
            picture = await product.hook.wait(request, timeout=PATIENCE_S)

        assert picture.state is State.DELIVERED
        assert len(product.hosts[0].drawn) == 1
        assert (await conversations.row(sessions, request.id)).attempts == 0


async def test_a_picture_that_its_caller_fetches_waits_for_the_store(
    products: ProductFactory, sessions: Sessions, tmp_path: Path
) -> None:
    async with products.start(request_attempts=1) as product:
        with store_outage.unusable(tmp_path / "images"):
            request = await product.ask(chat_id=None)
            async with asyncio.timeout(PATIENCE_S):
                while not product.hosts[0].drawn:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        picture = await product.hook.wait(request, timeout=PATIENCE_S)

        assert picture.state is State.DELIVERED
        assert len(product.hosts[0].drawn) == 1
        assert (await conversations.row(sessions, request.id)).image is not None


async def test_readiness_writes_to_the_store(tmp_path: Path) -> None:
    directory = tmp_path / "images"
    check = store_check(FilesystemImageStore.at(directory.as_uri()))

    assert await check() is None
    with store_outage.unusable(directory), pytest.raises(StoreUnavailable, match="takes no"):
        await check()
    assert list(directory.iterdir()) == []
