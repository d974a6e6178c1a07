"""The simulated Telegram as a program of its own, which listens until a signal ends it."""

import asyncio
import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imagegen.sandbox.errors import SandboxError
from imagegen.sandbox.telegram.fault_text import KINDS, parse_fault
from imagegen.sandbox.telegram.flood import FloodLimits
from imagegen.sandbox.telegram.server import SandboxTelegram

_SHUTDOWN_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class BadToken(SandboxError, ValueError):
    """A bot token that does not have the form of one; the message is one sentence."""


@dataclass(frozen=True, kw_only=True)
class TelegramOptions:
    """The options of the command line."""

    host: str
    port: int
    token: str
    seconds_per_upload: float
    flood_limits: bool
    faults: Sequence[str]


def build_telegram(options: TelegramOptions) -> SandboxTelegram:
    """Create the server; it is not started yet.

    Raises:
        BadFault: a fault is not written as it should be.
        BadToken: the token does not have the form of one.
    """
    if not re.fullmatch(r"[1-9]\d{0,15}:\S{3,}", options.token):
        raise BadToken("a token is a number, a colon and a secret, such as 42:secret")
    telegram = SandboxTelegram(
        host=options.host,
        port=options.port,
        token=options.token,
        seconds_per_upload=options.seconds_per_upload,
        flood_limits=FloodLimits() if options.flood_limits else None,
    )
    telegram.add_faults(*[parse_fault(text) for text in options.faults])
    return telegram


def run_telegram(telegram: SandboxTelegram, say: Callable[[str], None]) -> None:
    """Start the server, pass the lines about it to `say`, and return after SIGINT or SIGTERM.

    Raises:
        SandboxError: the server cannot listen on its port.
    """
    asyncio.run(_run(telegram, say))


def telegram_fault_help() -> list[tuple[str, str]]:
    """List the faults for a help page: the kind with its own parameters, and its line of help."""
    return [(" ".join([name, *kind.takes]), kind.line) for name, kind in KINDS.items()]


async def _run(telegram: SandboxTelegram, say: Callable[[str], None]) -> None:
    signalled = asyncio.Event()
    for number in _SHUTDOWN_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, signalled.set)
    async with telegram:
        say(f"Telegram (sandbox) listens on {telegram.url}")
        say(f"its bot has the token {telegram.token}")
        await signalled.wait()
