"""How soon a dialog begins with a cover: what `on_dialog_start` takes, and when Telegram has it.

`python -m tests.benchmarks.load.covers` prints it. No test: a busy machine proves nothing.
"""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

from chatflow_hook import ChatFlowHook
from imagegen import logs
from imagegen.db.engine import connect
from imagegen.requests.covers import Covers
from tests.benchmarks.load import servers
from tests.benchmarks.load.servers import BenchmarkServers
from tests.benchmarks.report.quantiles import quantile
from tests.support import conversations
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory

COVERS = 4
STARTS = 100


def main() -> None:
    logs.only_warnings()
    with (
        tempfile.TemporaryDirectory() as home,
        servers.running_backends(Path(home), is_quick=True) as running_backends,
    ):
        begun, sent = asyncio.run(_measured(running_backends))
    click.echo(f"on_dialog_start: {_told(begun)}")
    click.echo(f"from there to Telegram's acceptance: {_told(sent)} (100 ms at most wanted)")


async def _measured(running_backends: BenchmarkServers) -> tuple[Sequence[float], Sequence[float]]:
    engine = connect(running_backends.database_url)
    products = ProductFactory(
        running_backends.database_url,
        running_backends.redis_url,
        conversations.sessions_of(engine),
        running_backends.directory / "images",
    )
    async with products.start() as product:
        covers = Covers(engine)
        async for _ in covers.drawn(await covers.order(["lina"], COVERS)):
            pass
        # The first ones upload each cover.
        for number in range(COVERS * 4):
            await _started(product.hook, 10_000 + number)
        timed = [await _started(product.hook, number) for number in range(1, STARTS + 1)]
    await engine.dispose()
    return [begun for begun, _ in timed], [sent for _, sent in timed]


async def _started(hook: ChatFlowHook, dialog_id: int) -> tuple[float, float]:
    """Begin a dialog; return after how many seconds the bot may go on, and the photo is there."""
    began = time.perf_counter()
    request = await hook.on_dialog_start(conversations.turn(dialog_id, text=""))
    begun = time.perf_counter() - began
    if request is None:
        raise AssertionError("no cover is drawn")
    await hook.wait(request, timeout=PATIENCE_S)
    return begun, time.perf_counter() - began


def _told(seconds: Sequence[float]) -> str:
    p50, p95 = (1000 * quantile(seconds, share) for share in (0.5, 0.95))
    return f"p50 {p50:.0f} ms, p95 {p95:.0f} ms, of {len(seconds)}"


if __name__ == "__main__":
    main()
