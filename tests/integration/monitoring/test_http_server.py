"""The HTTP server of the worker: what /healthz and /readyz answer, and the checks behind them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from imagegen.cli.probe import ask_worker
from imagegen.comfy.address import HostAddress
from imagegen.comfy.client import HostClient
from imagegen.comfy.timeouts import PromptTimeouts
from imagegen.db.tables import HostUse
from imagegen.delivery.telegram import Telegram
from imagegen.monitoring import http_server
from imagegen.monitoring.checks import hosts_check, telegram_check
from imagegen.monitoring.readiness import CachedCheck, Check, Readiness
from imagegen.pool.pool import Pool
from imagegen.sandbox.comfyui import SandboxComfyUI
from imagegen.sandbox.telegram import SandboxTelegram, Trouble
from tests.support import command
from tests.support.http_probe import Prober
from tests.support.ports import free_port

LIMITS = PromptTimeouts(request_s=2.0, queue_s=5.0, drawing_s=5.0, silence_s=5.0)


async def nothing() -> None:
    return None


async def something() -> str:
    return "it is away"


@asynccontextmanager
async def served(
    checks: Mapping[str, Check],
    *,
    warning_checks: Mapping[str, Check] | None = None,
    is_stopping: bool = False,
) -> AsyncIterator[tuple[Prober, int]]:
    readiness, port = Readiness(lambda: is_stopping), free_port()
    cached_checks = {name: CachedCheck(check) for name, check in checks.items()}
    warning = {name: CachedCheck(check) for name, check in (warning_checks or {}).items()}
    async with (
        http_server.serving("127.0.0.1", port, readiness),
        readiness.checking(cached_checks, warning_checks=warning),
    ):
        yield Prober(port), port


async def test_a_worker_that_lacks_nothing_is_ready() -> None:
    async with served({"redis": nothing, "hosts": nothing}) as (prober, _):
        answer = await prober.get("/readyz")

    assert answer.status == 200
    assert answer.body == {
        "ready": True,
        "stopping": False,
        "missing": {},
        "warnings": {},
        "clocks_ahead_s": {},
    }


async def test_one_that_lacks_something_says_what_and_lives() -> None:
    async with served({"redis": something, "hosts": nothing}) as (prober, _):
        ready, alive = await prober.get("/readyz"), await prober.get("/healthz")

    assert (ready.status, ready.body["missing"]) == (503, {"redis": "it is away"})
    assert (alive.status, alive.body) == (200, {"alive": True})


async def test_what_is_wrong_with_a_part_is_told_and_the_worker_is_ready() -> None:
    async with served({"hosts": nothing}, warning_checks={"personas": something}) as (prober, _):
        answer = await prober.get("/readyz")

    assert (answer.status, answer.missing) == (200, set())
    assert answer.body["warnings"] == {"personas": "it is away"}


async def test_what_is_missing_altogether_is_not_told_twice() -> None:
    async with served({"personas": something}, warning_checks={"personas": something}) as (
        prober,
        _,
    ):
        answer = await prober.get("/readyz")

    assert (answer.status, answer.missing, answer.body["warnings"]) == (503, {"personas"}, {})


async def test_one_that_stops_is_not_ready_and_asks_nobody() -> None:
    async def must_not_run() -> None:
        raise AssertionError

    async with served({"redis": must_not_run}, is_stopping=True) as (prober, _):
        answer = await prober.get("/readyz")

    assert (answer.status, answer.body["stopping"], answer.missing) == (503, True, set())


async def test_one_that_starts_is_not_ready() -> None:
    async with served({}) as (prober, _):
        answer = await prober.get("/readyz")

    assert (answer.status, answer.missing) == (503, {"worker"})


async def test_a_port_that_is_taken_is_told_and_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    async with (
        served({"redis": nothing}) as (_, port),
        http_server.serving("127.0.0.1", port, Readiness(lambda: False)),
    ):
        pass

    output = capsys.readouterr().out
    assert "no probes" in output
    assert str(port) in output


async def test_port_0_is_none() -> None:
    async with http_server.serving("127.0.0.1", 0, Readiness(lambda: False)):
        assert not ask_worker("127.0.0.1", 0, "/healthz", timeout_s=1).is_good


async def test_a_knock_hears_what_the_worker_says() -> None:
    async with served({"redis": something}) as (_, port):
        alive = await asyncio.to_thread(ask_worker, "0.0.0.0", port, "/healthz", timeout_s=5)  # noqa: S104 (as WEB_HOST in a container)
        ready = await asyncio.to_thread(ask_worker, "127.0.0.1", port, "/readyz", timeout_s=5)
    nobody = ask_worker("127.0.0.1", port, "/healthz", timeout_s=1)

    assert (alive.is_good, ready.is_good, nobody.is_good) == (True, False, False)
    assert "it is away" in ready.text


def bot_of(telegram: SandboxTelegram, *, token: str | None = None) -> Telegram:
    return Telegram(token=token or telegram.token, api_url=telegram.url, timeout_s=5)


async def test_telegram_is_missing_while_it_cannot_be_reached() -> None:
    async with SandboxTelegram() as telegram, bot_of(telegram) as bot:
        ask = telegram_check(bot)
        before = await ask()
        telegram.script(Trouble.server_error(), Trouble.hang(), method="getMe")
        broken, silent = await ask(), await ask()
        after = await ask()
        await telegram.__aexit__()
        await ask()  # over the connection that is there, which breaks
        gone = await ask()
        async with SandboxTelegram(port=int(telegram.url.rpartition(":")[2])):
            back = await ask()

    assert (before, after, back) == (None, None, None)
    assert broken == silent
    assert "does not answer in time" in str(broken)
    address = telegram.url.removeprefix("http://")
    assert str(gone).startswith(f"Telegram at {address} refuses the connection")


async def test_a_token_that_telegram_does_not_know_is_told_without_the_token() -> None:
    async with SandboxTelegram() as telegram, bot_of(telegram, token="43:other") as bot:
        answer = await CachedCheck(telegram_check(bot)).answer()

    assert answer == "Telegram does not know the token"


@asynccontextmanager
async def pooled(*hosts: SandboxComfyUI) -> AsyncIterator[Check]:
    addresses = [HostAddress.parse(host.address) for host in hosts]
    async with (
        HostClient(addresses[0], limits=LIMITS) as one,
        HostClient(addresses[1], limits=LIMITS) as two,
    ):
        yield hosts_check(Pool([one, two]))


async def test_hosts_are_missing_only_while_all_of_them_are_away() -> None:
    async with SandboxComfyUI() as one, SandboxComfyUI() as two, pooled(one, two) as ask:
        both = await ask()
        await one.kill()
        other = await ask()
        await two.kill()
        none = await ask()
        await two.start()
        back = await ask()

    assert (both, other, back) == (None, None, None)
    assert none == "none of 2 is up: start ComfyUI there; `imagegen hosts` says more"


async def test_why_hosts_are_not_up_is_told_with_the_next_step() -> None:
    async with SandboxComfyUI() as one, SandboxComfyUI() as two, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client_of(each)) for each in (one, two)]
        pool = Pool(clients)
        await one.kill()
        await stack.enter_async_context(pool.running())
        pool.set_use(two.address, HostUse.DRAINING)
        down = await hosts_check(pool)()
        pool.set_use(one.address, HostUse.DRAINING)
        drained = await hosts_check(pool)()

    assert str(down).startswith(f"none of 1 is up, and 1 drained ({one.address}: ")
    assert "refuses the connection" in str(down)
    assert str(down).count(one.address) == 1
    assert str(down).endswith(": start ComfyUI there; `imagegen hosts` says more")
    assert drained == "all 2 are drained or removed: `imagegen hosts resume` uses them again"


def client_of(host: SandboxComfyUI) -> HostClient:
    return HostClient(HostAddress.parse(host.address), limits=LIMITS)


async def test_frozen_hosts_are_missing_within_two_seconds() -> None:
    async with SandboxComfyUI() as one, SandboxComfyUI() as two, pooled(one, two) as ask:
        cached_check = CachedCheck(ask)
        one.freeze()
        two.freeze()
        async with asyncio.timeout(3):
            frozen = await cached_check.answer()
        one.thaw()
        two.thaw()
        await cached_check.close()
        back = await CachedCheck(ask).answer()

    assert (frozen, back) == ("no answer within 2 s", None)


async def test_the_command_ends_as_a_health_check_expects() -> None:
    async def probed(port: int, *options: str) -> tuple[int | None, str]:
        ended = await command.run("probe", *options, WEB_PORT=str(port))
        return ended.code, ended.stdout + ended.stderr

    async with served({"redis": something}) as (_, port):
        alive, ready = await probed(port), await probed(port, "--ready")
    nobody, none = await probed(port), await probed(0)
    async with SandboxComfyUI() as host:
        other = await probed(int(host.address.rpartition(":")[2]))

    assert [code for code, _ in (alive, ready, nobody, none, other)] == [0, 1, 1, 1, 1]
    assert "it is away" in ready[1]
    assert nobody[1].startswith("imagegen: no worker answers")
    assert none[1].startswith("imagegen: WEB_PORT is 0")
    assert other[1].endswith("is no worker: look at WEB_PORT\n")
