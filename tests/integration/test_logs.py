"""The log of a process: whoever writes to it, each line is in the chosen form."""

import json
import sys
from pathlib import Path
from typing import Any

from tests.support import fork_server
from tests.support.patience import PATIENCE_S

PROGRAM = """
import asyncio, gc, logging, logging.config, threading, warnings
from arq.logs import default_log_config
from imagegen import logs

logs.configure("json", worker="gpu-box-7")
logging.config.dictConfig(default_log_config(False))  # as arq's command does after it

class Broken:
    def __del__(self):
        raise OSError("a destructor")

async def main():
    lost = asyncio.get_running_loop().create_future()
    lost.set_exception(ValueError("nobody waits"))
    del lost
    gc.collect()

warnings.warn("an old name", DeprecationWarning)
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
Broken()
asyncio.run(main())
logging.getLogger("aiohttp.server").error("Error handling request")
logging.getLogger("arq.worker").info("Starting worker for 1 functions: make_image")
logging.getLogger("arq.worker").warning("job %s expired", "1f0c9a")
raise RuntimeError("the end")
"""


def lines(program: str) -> list[dict[str, Any]]:
    """Run a program that ends with an error, and return the lines of its log."""
    ended = fork_server.shared().run(
        (sys.executable, "-c", program), env={}, cwd=Path.cwd(), timeout=PATIENCE_S
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    return [json.loads(line) for line in ended.stderr.splitlines()]


def test_warnings_libraries_and_errors_that_nobody_handles_are_lines_with_the_workers_name() -> (
    None
):
    logged = lines(PROGRAM)

    assert [line["event"].partition("\n")[0] for line in logged] == [
        "python warning",
        "a thread has failed",
        "error that could not be raised",
        "Future exception was never retrieved",
        "Error handling request",
        "job 1f0c9a expired",
        "process ends",
    ]
    assert {line["worker"] for line in logged} == {"gpu-box-7"}
    assert logged[0]["why"] == "an old name"
    assert "ZeroDivisionError" in logged[1]["exception"]
    assert "RuntimeError: the end" in logged[-1]["exception"]


def test_a_trouble_that_repeats_is_one_line_and_a_sum() -> None:
    logged = lines("""
import structlog, sys
from imagegen import logs

logs.configure("json", worker="gpu-box-7")
log = structlog.get_logger()
for number in range(17):
    try:
        raise OSError(f"try {number}")
    except OSError:
        log.exception("a step failed", task="relay")
logs.log_rest()
sys.exit(1)
""")

    assert [line["event"] for line in logged] == ["a step failed", "no longer repeated"]
    assert (logged[1]["line"], logged[1]["times"]) == ("a step failed", 16)
