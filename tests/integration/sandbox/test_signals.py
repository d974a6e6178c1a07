"""The end of a program that runs a loop, when the system asks for it."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from imagegen.sandbox import signals

pytestmark = pytest.mark.usefixtures("handlers")


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cancels_what_runs_and_then_ends_the_program(number: signal.Signals) -> None:
    ended: list[str] = []

    async def play() -> None:
        try:
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("in good order")

    with pytest.raises(SystemExit) as raised:
        signals.run_until_signal(play())

    assert raised.value.code == 128 + number
    assert ended == ["in good order"]


def test_what_ends_by_itself_leaves_the_signals_as_they_were() -> None:
    before = signal.getsignal(signal.SIGTERM)

    async def play() -> None:
        await asyncio.sleep(0)

    signals.run_until_signal(play())

    assert signal.getsignal(signal.SIGTERM) is before


def test_a_cancellation_without_a_signal_is_no_exit() -> None:
    async def play() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        signals.run_until_signal(play())


@pytest.mark.parametrize("is_ended", [True, False])
def test_a_connection_that_is_given_up_at_the_end_is_not_told(
    caplog: pytest.LogCaptureFixture, *, is_ended: bool
) -> None:
    async def play() -> None:
        try:
            if is_ended:
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.Event().wait()
        finally:
            asyncio.get_running_loop().create_future().set_exception(ConnectionError("lost"))

    with suppress(SystemExit):
        signals.run_until_signal(play())

    assert ("never retrieved" in caplog.text) is not is_ended
