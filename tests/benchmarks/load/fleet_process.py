"""Hosts and Telegram of a benchmark as one process, controlled over HTTP.

Like the sandbox process of the chaos run, with the delays, the picture sizes and the proxies of a
benchmark.
"""

import argparse
import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from aiohttp import web

from imagegen.sandbox.comfyui import Fault, FaultKind, SandboxComfyUI
from imagegen.sandbox.comfyui.execution import image_nodes
from imagegen.sandbox.ports import free_ports
from imagegen.sandbox.telegram import SandboxTelegram
from tests.benchmarks.chaos.sandbox_process import (
    SandboxControlServer,
    addresses_of,
    network_before,
)
from tests.benchmarks.load.ready_images import ReadyImages, VaryingSpeed, blank_image, pictures
from tests.benchmarks.load.tcp_proxy import TcpProxy
from tests.support.product import required_models


class BenchmarkControlServer(SandboxControlServer):
    """The control server of hosts that are behind proxies, which can go silent."""

    def __init__(
        self,
        hosts: list[SandboxComfyUI],
        telegram: SandboxTelegram,
        network: Mapping[str, TcpProxy],
        proxies: list[TcpProxy],
    ) -> None:
        super().__init__(hosts, telegram, network)
        self._proxies = proxies

    def app(self) -> web.Application:
        app = super().app()
        app.router.add_post("/proxies/{number}/{action}", self._to_proxy)
        app.router.add_get("/arrivals", self._arrivals)
        return app

    async def _to_proxy(self, request: web.Request) -> web.Response:
        proxy = self._proxies[int(request.match_info["number"])]
        if request.match_info["action"] == "silence":
            proxy.silence()
        else:
            proxy.resume()
        return web.Response()

    async def _arrivals(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "count": len(self._telegram.sent),
                "calls": Counter(call.method for call in self._telegram.calls),
                "requests": sum((proxy.requests for proxy in self._proxies), Counter[str]()),
                "bytes": sum(proxy.bytes_back for proxy in self._proxies),
            }
        )


async def _play(options: argparse.Namespace) -> None:
    # Replaces the function that VAEDecode calls; ready_images.py says why.
    vars(image_nodes)["paint_portrait"] = blank_image
    ready = pictures(are_large=options.large, seed=options.seed)
    async with AsyncExitStack() as stack:
        hosts = [_host(options, number) for number in range(options.hosts)]
        for host in hosts:
            host.files = ReadyImages(ready)
            if options.fetch_s:
                host.script(Fault(kind=FaultKind.SLOW_VIEW, seconds=options.fetch_s, times=None))
            await stack.enter_async_context(host)
        proxies = [
            await stack.enter_async_context(TcpProxy(host.address))
            for host in (hosts if options.proxies else [])
        ]
        telegram = await stack.enter_async_context(
            SandboxTelegram(port=next(free_ports()), seconds_per_upload=options.telegram_s)
        )
        network = (
            await network_before(telegram, options.database, stack) if options.database else {}
        )
        runner = web.AppRunner(
            BenchmarkControlServer(hosts, telegram, network, proxies).app(), access_log=None
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        addresses = {
            "control": f"http://127.0.0.1:{runner.addresses[0][1]}",
            "hosts": [each.address for each in proxies or hosts],
            **(addresses_of(network) if network else {"telegram": telegram.url, "database": ""}),
            "token": telegram.token,
        }
        print(json.dumps(addresses), flush=True)  # noqa: T201 (who started it reads that)
        await asyncio.Event().wait()


def _host(options: argparse.Namespace, number: int) -> SandboxComfyUI:
    return SandboxComfyUI(
        name=f"gpu-{number}",
        models=required_models(),
        seconds_per_picture=options.drawing_s,
        model_load_seconds=options.loading_s,
        seed=options.seed + number,
        sleep=VaryingSpeed(asyncio.sleep, share=options.jitter, seed=f"{options.seed} {number}"),
    )


def _options() -> Any:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hosts", type=int, required=True)
    parser.add_argument("--drawing-s", type=float, required=True)
    parser.add_argument("--jitter", type=float, default=0.0)
    parser.add_argument("--loading-s", type=float, default=0.0)
    parser.add_argument("--fetch-s", type=float, default=0.0)
    parser.add_argument("--telegram-s", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--database", default="", help="host:port of PostgreSQL: puts proxies up")
    parser.add_argument("--large", action="store_true", help="PNGs of 1.3 MB")
    parser.add_argument("--proxies", action="store_true", help="hosts behind proxies to silence")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(_play(_options()))
