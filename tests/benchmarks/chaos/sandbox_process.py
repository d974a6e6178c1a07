"""The simulated hosts and the simulated Telegram as a process of their own, controlled over HTTP.

The control server is apart from them, since a dead host cannot be told to start again.
"""

import argparse
import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from imagegen import resources
from imagegen.sandbox.comfyui import Fault, FaultKind, SandboxComfyUI
from imagegen.sandbox.comfyui.usage import DoubleDrawing, doubles
from imagegen.sandbox.ports import free_ports
from imagegen.sandbox.telegram import SandboxTelegram, Trouble
from imagegen.workflows.library import load_workflows, required_model_files
from tests.benchmarks.load.tcp_proxy import TcpProxy

# How many calls in a row get one scripted fault.
_CALLS = 2


class SandboxControlServer:
    """Changes and reads the hosts and Telegram over HTTP, and the network before some servers."""

    def __init__(
        self,
        hosts: Sequence[SandboxComfyUI],
        telegram: SandboxTelegram,
        network: Mapping[str, TcpProxy],
    ) -> None:
        self._hosts = hosts
        self._telegram = telegram
        self._network = network

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/hosts/{number}/{action}", self._to_host)
        app.router.add_post("/telegram/{action}", self._to_telegram)
        app.router.add_post("/network/{name}/{action}", self._to_network)
        app.router.add_get("/record", self._record)
        return app

    async def _to_host(self, request: web.Request) -> web.Response:
        host = self._hosts[int(request.match_info["number"])]
        match request.match_info["action"]:
            case "kill":
                await host.kill()
            case "heal":
                await host.start()
            case "freeze":
                host.freeze()
            case "thaw":
                host.thaw()
            case "calm":
                host.calm()
            case _:
                host.script(Fault.parse(await request.text()))
        return web.Response()

    async def _to_telegram(self, request: web.Request) -> web.Response:
        match request.match_info["action"]:
            case "calm":
                self._telegram.calm()
            case _:
                self._telegram.script(*[trouble(await request.text())] * _CALLS, method="sendPhoto")
        return web.Response()

    async def _to_network(self, request: web.Request) -> web.Response:
        proxy = self._network[request.match_info["name"]]
        match request.match_info["action"]:
            case "refuse":
                await proxy.refuse()
            case "drop":
                await proxy.drop_packets()
            case "abandon_connections":
                proxy.abandon_connections()
            case _:
                await proxy.listen()
        return web.Response()

    async def _record(self, _: web.Request) -> web.Response:
        reports = [host.account for host in self._hosts]
        record = {
            "arrivals": [
                {
                    "caption": each.caption,
                    "message_id": each.message_id,
                    "when": each.when.timestamp(),
                }
                for each in self._telegram.sent
            ],
            "hosts": [report.as_json() for report in reports],
            "doubles": [asdict(self._reclassified(double)) for double in doubles(reports)],
        }
        return web.json_response(record)

    def _reclassified(self, double: DoubleDrawing) -> DoubleDrawing:
        """Call a double unavoidable also if the host was out of reach before the first one began.

        The worker that posted it had waited for it in vain, and may have given up just then. The first
        one is the one that was posted first: on a host that froze it may begin after the other.
        """
        posts = {
            each.prompt_id: (each.when, host)
            for host in self._hosts
            for each in reversed(host.posted)
            if each.prompt_id in double.prompt_ids
        }
        first, again = sorted(double.prompt_ids, key=lambda each: posts[each][0])
        posted, host = posts[first]
        began = max(
            each.began
            for other in self._hosts
            for each in other.account.drawings
            if each.prompt_id == again
        )
        was_out = host.account.was_out(posted, began) or _was_unavailable(host, posted, began)
        return replace(double, avoidable=double.avoidable and not was_out)


def _was_unavailable(host: SandboxComfyUI, began: float, ended: float) -> bool:
    """Tell whether a proxy before the host answered 503 at any moment of that time."""
    return any(
        each.fault.kind is FaultKind.UNAVAILABLE
        and each.when <= ended
        and each.when + (each.fault.seconds or 0) >= began
        for each in host.troubles
    )


def trouble(text: str) -> Trouble:
    """Read a Telegram fault as the schedule writes it, such as `flood:3` or `hang:accepted`."""
    name, _, detail = text.partition(":")
    is_accepted = detail == "accepted"
    match name:
        case "flood":
            return Trouble.flood(int(detail))
        case "error":
            return Trouble.server_error(int(detail))
        case "gateway":
            return Trouble.bad_gateway(is_accepted=is_accepted)
        case "hang":
            return Trouble.hang(is_accepted=is_accepted)
        case "drop":
            return Trouble.drop(is_accepted=is_accepted)
        case "restarting":
            return Trouble.restarting()
    raise ValueError(f"there is no trouble {text}")


async def _serve(options: argparse.Namespace) -> None:
    async with AsyncExitStack() as stack:
        hosts = [
            await stack.enter_async_context(
                SandboxComfyUI(
                    name=f"gpu-{number}",
                    models=_models(),
                    seconds_per_picture=options.seconds_per_picture,
                    seed=options.seed,
                )
            )
            for number in range(options.hosts)
        ]
        telegram = await stack.enter_async_context(SandboxTelegram())
        network = await network_before(telegram, options.database, stack)
        runner = web.AppRunner(
            SandboxControlServer(hosts, telegram, network).app(), access_log=None
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        addresses = {
            "control": f"http://127.0.0.1:{runner.addresses[0][1]}",
            "hosts": [host.address for host in hosts],
            **addresses_of(network),
            "token": telegram.token,
        }
        print(json.dumps(addresses), flush=True)  # noqa: T201 (who started it reads that)
        await asyncio.Event().wait()


async def network_before(
    telegram: SandboxTelegram, database: str, stack: AsyncExitStack
) -> Mapping[str, TcpProxy]:
    """Put proxies before Telegram and before PostgreSQL at `database` (host:port)."""
    ports = free_ports()
    return {
        name: await stack.enter_async_context(TcpProxy(address, port=next(ports)))
        for name, address in (("telegram", urlsplit(telegram.url).netloc), ("database", database))
    }


def addresses_of(network: Mapping[str, TcpProxy]) -> Mapping[str, str]:
    """Return the addresses under which the servers behind the proxies are reached."""
    return {
        "telegram": f"http://{network['telegram'].address}",
        "database": network["database"].address,
    }


def _models() -> Mapping[str, Sequence[str]]:
    files = required_model_files(load_workflows(resources.path("workflows")))
    return {folder: sorted(names) for folder, names in files.items()}


def _options() -> Any:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hosts", type=int, required=True)
    parser.add_argument("--seconds-per-picture", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--database", required=True, help="host:port of PostgreSQL")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(_serve(_options()))
