"""What a worker does first when it starts."""

from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.tables import State
from imagegen.maintenance.retention import FIRST_AFTER_S
from tests.support.aged_rows import AgedData
from tests.support.product import ProductFactory
from tests.support.stopwatch import Stopwatch


async def test_pictures_come_before_anything_is_tidied_up(
    products: ProductFactory, engine: AsyncEngine, tmp_path: Path
) -> None:
    aged_data = AgedData(engine, tmp_path / "images")
    old = await aged_data.row(State.DELIVERED, days=1000, dialog_id=7)

    watch = Stopwatch()
    async with products.start() as product:
        for _ in range(2):
            await product.picture()
        is_there = old in await aged_data.ids()

    # A machine that was busy for so long tidies up meanwhile.
    assert is_there or watch.seconds > FIRST_AFTER_S
