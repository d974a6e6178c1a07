"""The site: serves /healthz and /readyz beside the worker, in its loop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiohttp import web

from imagegen.monitoring.readiness import Readiness

log = structlog.get_logger(__name__)

# Whoever still reads an answer at the end is not waited for.
_CLOSE_WITHIN_S = 0.5
_NEVER_STORED = {"Cache-Control": "no-store"}


@asynccontextmanager
async def serving(host: str, port: int, readiness: Readiness) -> AsyncIterator[None]:
    """Serve while the block runs; port 0 is none.

    A port that is taken is told and no more: pictures are made without probes too.
    """
    if not port:
        yield
        return
    runner = web.AppRunner(_app(readiness), access_log=None, shutdown_timeout=_CLOSE_WITHIN_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            log.error(  # noqa: TRY400 (where in asyncio does not matter)
                "no probes: the port cannot be opened, see WEB_HOST and WEB_PORT",
                host=host,
                port=port,
                why=error.strerror,
            )
        yield
    finally:
        await runner.cleanup()


def _app(readiness: Readiness) -> web.Application:
    async def healthz(_: web.Request) -> web.Response:
        # That it comes says that the loop lives.
        return web.json_response({"alive": True}, headers=_NEVER_STORED)

    async def readyz(_: web.Request) -> web.Response:
        standing = await readiness.report()
        answer = {
            "ready": standing.is_ready,
            "stopping": standing.is_stopping,
            "missing": dict(standing.missing),
        }
        status = 200 if standing.is_ready else 503
        return web.json_response(answer, status=status, headers=_NEVER_STORED)

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz)])
    return app
