"""HTTP server of the worker: /healthz, /readyz and more pages, in the worker's own event loop."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog
from aiohttp import web

from imagegen.monitoring.readiness import Readiness

log = structlog.get_logger(__name__)

# A client that still reads an answer when the worker ends is cut off after this time.
_CLOSE_WITHIN_S = 0.5
_NO_STORE = {"Cache-Control": "no-store"}


@asynccontextmanager
async def serving(
    host: str, port: int, readiness: Readiness, pages: Sequence[web.RouteDef] = ()
) -> AsyncIterator[None]:
    """Serve while the block runs; with port 0 nothing is served. `pages` are those besides the probes.

    A port that cannot be opened is logged, and the block runs all the same: pictures can be made
    without probes.
    """
    if not port:
        yield
        return
    runner = web.AppRunner(
        _app(readiness, pages), access_log=None, shutdown_timeout=_CLOSE_WITHIN_S
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            log.error(  # noqa: TRY400 (a traceback through asyncio would not help)
                "no probes: the port cannot be opened, see WEB_HOST and WEB_PORT",
                host=host,
                port=port,
                why=error.strerror,
            )
        yield
    finally:
        await runner.cleanup()


def _app(readiness: Readiness, pages: Sequence[web.RouteDef]) -> web.Application:
    async def healthz(_: web.Request) -> web.Response:
        # The answer itself shows that the event loop runs.
        return web.json_response({"alive": True}, headers=_NO_STORE)

    async def readyz(_: web.Request) -> web.Response:
        report = await readiness.report()
        body = {
            "ready": report.is_ready,
            "stopping": report.is_stopping,
            "missing": dict(report.missing),
            "warnings": dict(report.warnings),
            "clocks_ahead_s": dict(report.clocks_ahead_s),
        }
        status = 200 if report.is_ready else 503
        return web.json_response(body, status=status, headers=_NO_STORE)

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), *pages])
    return app
