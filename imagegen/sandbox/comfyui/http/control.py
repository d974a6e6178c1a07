"""The sandbox's own routes, which no real host has: its account, and its faults at run time."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from imagegen.sandbox.comfyui.faults.fault import Fault, FaultError
from imagegen.sandbox.comfyui.faults.script import FaultScript
from imagegen.sandbox.comfyui.usage import UsageReport


@dataclass(frozen=True, kw_only=True)
class ControlRoutes:
    """`GET /sandbox/account`; `GET`, `POST` and `DELETE /sandbox/faults`."""

    faults: FaultScript
    account: Callable[[], UsageReport]
    add: Callable[[Sequence[Fault]], None]
    clear: Callable[[], None]

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get("/sandbox/account", self._account)
        router.add_get("/sandbox/faults", self._list)
        router.add_post("/sandbox/faults", self._add)
        router.add_delete("/sandbox/faults", self._clear)

    async def _account(self, _request: web.Request) -> web.Response:
        return web.json_response(self.account().as_json())

    async def _list(self, _request: web.Request) -> web.Response:
        return web.json_response(self._fault_status())

    async def _add(self, request: web.Request) -> web.Response:
        try:
            faults = _faults(await request.text())
        except FaultError as error:
            return web.json_response({"error": str(error)}, status=400)
        self.add(faults)
        return web.json_response(self._fault_status())

    async def _clear(self, _request: web.Request) -> web.Response:
        self.clear()
        return web.json_response(self._fault_status())

    def _fault_status(self) -> dict[str, Any]:
        return {
            "waiting": [str(fault) for fault in self.faults.waiting],
            "happened": [trouble.as_json() for trouble in self.faults.troubles],
        }


def _faults(text: str) -> list[Fault]:
    try:
        texts = json.loads(text)["faults"]
        return [Fault.parse(each) for each in texts]
    except FaultError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError):
        raise FaultError('the body must be {"faults": ["KIND:name=value", …]}') from None
