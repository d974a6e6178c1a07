"""The clocks of this machine, PostgreSQL, Redis and the hosts, compared with each other."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress

from pydantic import SecretStr
from redis.exceptions import RedisError

from chatflow_hook.clock_skew import ClockSkew
from chatflow_hook.queue import server_time_s
from chatflow_hook.settings import RedisSettings
from imagegen.comfy.address import HostAddress
from imagegen.comfy.http import HostHTTP
from imagegen.db.engine import connect
from imagegen.doctor.finding import DoctorFinding, Findings, green, red, yellow
from imagegen.errors import Unavailable
from imagegen.monitoring.known_hosts import KnownHosts
from imagegen.monitoring.server_clocks import postgresql_time_s
from imagegen.queue import connections
from imagegen.settings import DatabaseSettings, HostSettings

WARN_FROM_S = 2.0
# Signatures of S3 and certificates are refused from some minutes on.
WRONG_FROM_S = 300.0
# Two clocks that are this close say the same. A host tells whole seconds.
_AGREE_WITHIN_S = 2.0

_ASK_TWO = "set the clocks of both machines by NTP (timedatectl set-ntp true)"


async def check(  # noqa: PLR0913 (whose clocks; all by name)
    *,
    database: DatabaseSettings | None,
    redis: RedisSettings | None,
    fleet: HostSettings | None,
    known_hosts: Callable[[], Awaitable[KnownHosts]] | None = None,
    timeout_s: float,
    clock: Callable[[], float] = time.time,
) -> Findings:
    """Yield which clocks differ; a server that does not answer is left out, as its subject says so.

    `known_hosts` gives hosts besides those of COMFYUI_HOSTS. `clock` is that of this machine, in
    seconds since the epoch.
    """
    skews: dict[str, ClockSkew] = {}

    def skew(name: str) -> ClockSkew:
        return skews.setdefault(name, ClockSkew(name, clock=clock))

    measurements: list[Awaitable[None]] = []
    if database is not None:
        url = database.database_url
        measurements.append(_measure_postgresql(skew("PostgreSQL"), url, timeout_s))
    if redis is not None:
        measurements.append(_measure_redis(skew("Redis"), redis))
    removed: set[str] = set()
    if fleet is not None:
        headers = fleet.host_headers

        async def measure_host(address: HostAddress) -> None:
            await _measure_host(skew(address.name), address, headers, timeout_s)

        async def measure_others() -> None:
            known = await known_hosts() if known_hosts is not None else None
            if known is not None:
                removed.update(known.removed)
                names = known.addresses.keys() - removed - skews.keys()
                others = [known.addresses[name] for name in sorted(names)]
                await asyncio.gather(*(_within(measure_host(each), timeout_s) for each in others))

        measurements += [*map(measure_host, fleet.host_addresses), measure_others()]
    await asyncio.gather(*(_within(each, timeout_s) for each in measurements))
    for finding in compare(
        {
            name: each.ahead_s
            for name, each in skews.items()
            if each.ahead_s is not None and name not in removed
        }
    ):
        yield finding


def compare(ahead_s: Mapping[str, float]) -> Iterator[DoctorFinding]:
    """Yield what the differences mean. `ahead_s`: by server, how far it is ahead of this machine."""
    if not ahead_s:
        yield yellow("no other clock could be asked", "see the servers above")
        return
    apart = {name: seconds for name, seconds in ahead_s.items() if abs(seconds) >= WARN_FROM_S}
    if not apart:
        yield green(f"this machine agrees with {', '.join(ahead_s)}")
        return
    spread_s = max(ahead_s.values()) - min(ahead_s.values())
    if len(ahead_s) > 1 and spread_s <= _AGREE_WITHIN_S:
        yield _finding(
            f"the clock of this machine is {_difference(-min(ahead_s.values()))} "
            f"{', '.join(ahead_s)}, which agree",
            min(ahead_s.values()),
            "set the clock of this machine by NTP (timedatectl set-ntp true)",
        )
        return
    for name, seconds in apart.items():
        yield _finding(
            f"the clock of {name} is {_difference(seconds)} that of this machine", seconds, _ASK_TWO
        )


def _finding(sentence: str, seconds: float, advice: str) -> DoctorFinding:
    return (red if abs(seconds) >= WRONG_FROM_S else yellow)(sentence, advice)


def _difference(seconds: float) -> str:
    return f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'}"


async def _within(measurement: Awaitable[None], timeout_s: float) -> None:
    with suppress(RedisError, OSError, TimeoutError, Unavailable):
        async with asyncio.timeout(timeout_s):
            await measurement


async def _measure_postgresql(skew: ClockSkew, url: SecretStr, timeout_s: float) -> None:
    engine = connect(url, pool_size=1, command_timeout_s=timeout_s)
    try:
        # Opens the connection, which would count as a part of the way to the clock.
        await postgresql_time_s(engine)
        await skew.measure(lambda: postgresql_time_s(engine))
    finally:
        await engine.dispose()


async def _measure_redis(skew: ClockSkew, settings: RedisSettings) -> None:
    async with connections.silent_connection(settings.redis, db=settings.redis_broker_db) as client:
        await server_time_s(client)
        await skew.measure(lambda: server_time_s(client))


async def _measure_host(
    skew: ClockSkew, address: HostAddress, headers: Mapping[str, str], timeout_s: float
) -> None:
    async with HostHTTP(address, headers=headers, request_timeout=timeout_s) as http:
        await skew.measure(http.time_s)
