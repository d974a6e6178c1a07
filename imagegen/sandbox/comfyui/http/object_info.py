"""The HTTP routes that describe a host: nodes, models, memory, features."""

import sys

from aiohttp import web

from imagegen.sandbox.comfyui.state import HostState

_MEMORY = 24 * 2**30


class ObjectInfoRoutes:
    """Read-only routes that concern no prompt."""

    def __init__(self, state: HostState) -> None:
        self._state = state

    def add_to(self, router: web.UrlDispatcher, prefix: str) -> None:
        router.add_get(f"{prefix}/object_info", self.definitions)
        router.add_get(f"{prefix}/object_info/{{class_type}}", self.definitions)
        router.add_get(f"{prefix}/models", self.folders)
        router.add_get(f"{prefix}/models/{{folder}}", self.models)
        router.add_get(f"{prefix}/embeddings", self.embeddings)
        router.add_get(f"{prefix}/view_metadata/{{folder}}", self.metadata)
        router.add_get(f"{prefix}/system_stats", self.system)
        router.add_get(f"{prefix}/features", self.features)

    async def definitions(self, request: web.Request) -> web.Response:
        class_type = request.match_info.get("class_type")
        return web.json_response(self._state.definitions.as_json(class_type))

    async def folders(self, _request: web.Request) -> web.Response:
        return web.json_response(self._state.version.folders)

    async def models(self, request: web.Request) -> web.Response:
        folder = request.match_info["folder"]
        if folder not in (*self._state.version.folders, *self._state.models):
            return web.Response(status=404)
        return web.json_response(sorted(self._state.models.get(folder, ())))

    async def embeddings(self, _request: web.Request) -> web.Response:
        names = sorted(self._state.models.get("embeddings", ()))
        return web.json_response([name.rsplit(".", 1)[0] for name in names])

    async def metadata(self, _request: web.Request) -> web.Response:
        # The sandbox's models are names only; a real server answers so for a file without a header.
        return web.Response(status=404)

    async def system(self, _request: web.Request) -> web.Response:
        version = self._state.version
        system = {
            **version.system,
            "ram_total": _MEMORY,
            "ram_free": _MEMORY,
            "comfyui_version": version.reported,
            "python_version": sys.version,
            "pytorch_version": "none (sandbox)",
            "embedded_python": False,
            "argv": self._state.flags.argv,
        }
        device = {
            "name": "sandbox",
            "type": "cpu",
            "index": None,
            "vram_total": _MEMORY,
            "vram_free": _MEMORY,
            "torch_vram_total": _MEMORY,
            "torch_vram_free": _MEMORY,
        }
        return web.json_response({"system": system, "devices": [device]})

    async def features(self, _request: web.Request) -> web.Response:
        return web.json_response(self._state.version.features)
