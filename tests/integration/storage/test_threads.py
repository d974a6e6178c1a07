"""An image store that hangs: calls fail in time, hold up nothing else, and do not pile up."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagegen.image_file import ImageFile
from imagegen.storage.filesystem import FilesystemImageStore
from imagegen.storage.store import StoreUnavailable
from imagegen.storage.threads import StoreThreads
from tests.support.patience import PATIENCE_S

PICTURE = ImageFile(data=b"\x89PNG picture", format="png", width=40, height=30)
NAME = f"{'ab' * 32}.png"

# As a worker that ends while its directory hangs.
HANGING = """
import asyncio, pathlib, sys
from imagegen.storage.filesystem import FilesystemImageStore

store = FilesystemImageStore(pathlib.Path(sys.argv[1]), timeout_s=0.1)
asyncio.run(store.get(sys.argv[2]))
"""


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Path]:
    """Give a file whose reading hangs, as on a network drive without its server, until it is let go."""
    path = tmp_path / NAME[:2] / NAME
    path.parent.mkdir()
    os.mkfifo(path)
    yield path
    let_go(path)


def let_go(fifo: Path) -> None:
    """Let all who read the file go on, and wait for their threads."""
    while threads := store_threads():
        # Opened for both, it needs no reader; whoever waits for a writer has one then.
        os.close(os.open(fifo, os.O_RDWR))
        if threads[0].is_alive():  # not while it is just being started
            threads[0].join(0.01)


def store_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "image store"]


async def test_a_store_that_hangs_is_unavailable_until_it_goes_on(
    tmp_path: Path, fifo: Path
) -> None:
    store = FilesystemImageStore(tmp_path, timeout_s=0.2)

    with pytest.raises(StoreUnavailable, match=r"does not answer within 0\.2 s"):
        await store.get(NAME)
    for _ in range(20):
        with pytest.raises(StoreUnavailable, match=r"does not answer within 0\.2 s"):
            await store.put(PICTURE)
    assert len(store_threads()) == 1

    let_go(fifo)
    image = await store.put(PICTURE)
    assert await store.get(image.name) == PICTURE.data


async def test_calls_that_are_late_in_all_places_let_further_calls_fail_at_once(fifo: Path) -> None:
    threads = StoreThreads(timeout_s=0.2, are_daemons=True)
    calls = [threads.call(fifo.read_bytes) for _ in range(8)]

    late = await asyncio.gather(*calls, return_exceptions=True)

    assert list(map(type, late)) == [TimeoutError] * 8
    assert len(store_threads()) == 8
    with pytest.raises(TimeoutError):
        threads.call(fifo.exists).send(None)  # without a wait


async def test_calls_that_hang_hold_up_no_other_work(tmp_path: Path, fifo: Path) -> None:
    store = FilesystemImageStore(tmp_path)
    calls = [asyncio.create_task(store.get(NAME), name="get") for _ in range(60)]
    await asyncio.sleep(0)

    await asyncio.wait_for(asyncio.to_thread(fifo.exists), PATIENCE_S)

    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    assert len(store_threads()) == 8


async def test_calls_that_are_cancelled_keep_their_places_while_they_hang(fifo: Path) -> None:
    threads = StoreThreads(timeout_s=PATIENCE_S, are_daemons=True)
    for _ in range(20):
        call = asyncio.create_task(threads.call(fifo.read_bytes), name="call")
        await asyncio.sleep(0)  # it has begun
        call.cancel()
        await asyncio.wait({call})
    started = len(store_threads())

    next_one = asyncio.create_task(threads.call(fifo.exists), name="next one")
    await asyncio.to_thread(let_go, fifo)

    assert started == 8
    assert await next_one


async def test_a_call_that_was_cancelled_is_late_when_its_time_is_over(fifo: Path) -> None:
    threads = StoreThreads(timeout_s=0.2, are_daemons=True)
    call = asyncio.create_task(threads.call(fifo.read_bytes), name="call")
    await asyncio.sleep(0)  # it has begun
    call.cancel()
    await asyncio.wait({call})

    async def calls() -> None:
        while await threads.call(fifo.exists):
            pass

    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(TimeoutError):
            await calls()


async def test_a_trial_that_hangs_is_not_made_a_second_time(fifo: Path) -> None:
    threads = StoreThreads(timeout_s=PATIENCE_S, are_daemons=True)
    started: list[int] = []

    def trial() -> None:
        started.append(1)
        fifo.read_bytes()

    for _ in range(5):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(threads.try_out(trial), 0.02)
    last = asyncio.create_task(threads.try_out(trial), name="trial")
    await asyncio.sleep(0)  # it waits for the trial from here on
    await asyncio.to_thread(let_go, fifo)
    await last

    assert len(started) == 1


def test_a_process_ends_while_its_store_hangs(tmp_path: Path, fifo: Path) -> None:
    command = [sys.executable, "-c", HANGING, str(tmp_path), fifo.name]

    ended = subprocess.run(command, check=False, timeout=PATIENCE_S, capture_output=True, text=True)

    assert "does not answer within 0.1 s" in ended.stderr
