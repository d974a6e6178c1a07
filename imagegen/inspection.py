"""Inspection: asks hosts and workers for `imagegen hosts`, which needs no database and no bot."""

import asyncio

from chatflow_hook.settings import RedisSettings, read
from imagegen import hosts
from imagegen.comfy.host_report import HostReport, ask_hosts
from imagegen.host_settings import HostSettings
from imagegen.hosts import Row
from imagegen.monitoring import host_status
from imagegen.queue import connections


class _Settings(HostSettings, RedisSettings):
    pass


def run(*, timeout_s: float) -> tuple[Row, ...]:
    """Ask every host, all at once. Raises BadSetting."""
    chosen = read(_Settings)
    library = chosen.library()
    reports, notices = asyncio.run(_asked(chosen, timeout_s))
    return hosts.rows(reports, notices, library)


async def _asked(
    chosen: _Settings, timeout_s: float
) -> tuple[tuple[HostReport, ...], list[host_status.PublishedHost]]:
    async with connections.result_connection(chosen.redis, db=chosen.redis_result_db) as redis:
        reports, notices = await asyncio.gather(
            ask_hosts(chosen.comfyui_hosts, headers=chosen.host_headers, timeout_s=timeout_s),
            host_status.read_published(redis),
        )
    return reports, list(notices or ())
