"""Bot and worker on machines whose clocks differ by minutes: pictures come as ever, and it is told."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from chatflow_hook import Request
from chatflow_hook.tables import State
from imagegen.sandbox.telegram import Trouble
from tests.support import conversations, worker_process
from tests.support.conversations import Sessions
from tests.support.fork_server import ROOT
from tests.support.http_probe import Prober
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.product import ProductFactory

AHEAD, BEHIND = "600", "-600"
APART = (sys.executable, "-m", "tests.support.clock_offset")
WORKER = (*APART, BEHIND, "arq", "imagegen.worker.WorkerSettings")
BOT = (*APART, AHEAD, "tests.support.asking_bot")


async def bot_output(variables: Mapping[str, str], home: Path) -> str:
    """Run a bot until a picture is due, and return what it logged."""
    process = await asyncio.create_subprocess_exec(
        *BOT, env=dict(variables), cwd=home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_a_picture_comes_at_once_from_a_bot_ahead_and_a_worker_behind(
    products: ProductFactory, sessions: Sessions, tmp_path: Path
) -> None:
    port = free_port()
    async with products.start(works=False) as product:
        # The job is deferred once, for a second.
        product.telegram.script(Trouble.flood(1), method="sendPhoto")
        variables = worker_process.environment(
            product.settings, WEB_PORT=str(port), LOG_FORMAT="json", PYTHONPATH=str(ROOT)
        )
        async with worker_process.running(
            tmp_path / "home", variables, command=WORKER, is_forked=False
        ) as worker:
            said_by_bot = await bot_output(variables, tmp_path)
            (row,) = await conversations.requests_of(sessions)
            request = Request(id=row.id, dialog_id=row.dialog_id, message_count=row.message_count)
            picture = await product.hook.wait(request, timeout=PATIENCE_S)
            ready = await Prober(port).until_missing(timeout_s=PATIENCE_S)

    assert picture.state is State.DELIVERED
    assert "clocks differ" in said_by_bot
    assert [each["server_ahead_s"] for each in worker.events if each["event"].startswith("clocks")]
    assert min(ready.body["clocks_ahead_s"].values()) > 500
