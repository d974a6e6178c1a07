"""All ComfyUI hosts that anybody knows: those of settings, DNS, orders of operators, and workers."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import SecretStr
from redis.exceptions import RedisError

from chatflow_hook import redis_errors
from chatflow_hook.settings import RedisSettings
from imagegen.comfy.address import DnsName, HostAddress
from imagegen.db.engine import connect
from imagegen.db.tables import HostUse
from imagegen.errors import ImagegenError
from imagegen.monitoring import host_status, worker_status
from imagegen.monitoring.host_status import PublishedHost
from imagegen.monitoring.worker_status import PublishedWorker
from imagegen.pool.dns_records import FAMILIES, DnsResolver, NameNotResolved
from imagegen.pool.host_orders import HostOrder, HostOrders
from imagegen.queue import connections
from imagegen.settings import HostSettings


@dataclass(frozen=True, kw_only=True)
class KnownHosts:
    """All hosts that anybody knows.

    Attributes:
        addresses: where they are, by name; those of COMFYUI_HOSTS first.
        orders: what operators have ordered, by name.
        published: what the workers have published, each host once for each worker.
        orders_fault: why the orders could not be read, None if they could.
        dns_faults: by name of dns://, why hosts of it may be missing.
        empty_names: the names of dns:// that have no record at present.
        workers: the workers that have published that they run.
        redis_outage: why Redis could not be asked, None if it could.
    """

    addresses: Mapping[str, HostAddress]
    orders: Mapping[str, HostOrder]
    published: Sequence[PublishedHost]
    workers: Sequence[PublishedWorker]
    orders_fault: str | None
    dns_faults: Mapping[str, str]
    empty_names: tuple[str, ...]
    redis_outage: str | None

    def use_of(self, name: str) -> str:
        """Return how the workers use a host: `active`, `draining` or `removed`."""
        if (order := self.orders.get(name)) is not None:
            return order.use.value
        # A host that DNS does not name any more is removed by the workers, without any order.
        return next((host.use for host in self.published if host.name == name), HostUse.ACTIVE)

    def note_of(self, name: str) -> str | None:
        """Return what an operator has noted of a host, None if nothing."""
        order = self.orders.get(name)
        return None if order is None else order.note

    @property
    def removed(self) -> frozenset[str]:
        """The hosts that were removed, and that no worker has any more."""
        published = {host.name for host in self.published}
        return frozenset(
            name
            for name, order in self.orders.items()
            if order.use is HostUse.REMOVED and name not in published
        )


async def read_known_hosts(
    settings: HostSettings,
    *,
    redis: RedisSettings | None,
    database_url: SecretStr | None,
    timeout_s: float,
    resolver: DnsResolver | None = None,
) -> KnownHosts:
    """Read orders, DNS records and what the workers have published, each within `timeout_s`.

    Without a database or a Redis what they know is left out.

    Raises:
        BadSetting: Redis refuses the password, or has no database of one of the numbers.
    """
    (published, workers, outage), (orders, orders_fault), of_names = await asyncio.gather(
        _read_published(redis, timeout_s),
        _read_orders(database_url, timeout_s),
        _resolve(settings.host_dns_names, resolver or DnsResolver(), timeout_s),
    )
    from_dns = [address for found in of_names for address in found.addresses]
    of_orders = [order.address for order in orders.values() if order.address is not None]
    of_workers = [HostAddress.parse(host.address) for host in published if host.address]
    addresses: dict[str, HostAddress] = {}
    for address in (*settings.host_addresses, *from_dns, *of_orders, *of_workers):
        addresses.setdefault(address.name, address)
    # As for the workers, an address that was given by an order counts more.
    addresses |= {address.name: address for address in of_orders}
    return KnownHosts(
        addresses=addresses,
        orders=orders,
        published=published,
        workers=workers,
        orders_fault=orders_fault,
        dns_faults={each.name: each.why for each in of_names if each.why is not None},
        empty_names=tuple(
            each.name for each in of_names if each.why is None and not each.addresses
        ),
        redis_outage=outage,
    )


async def _read_published(
    settings: RedisSettings | None, timeout_s: float
) -> tuple[Sequence[PublishedHost], Sequence[PublishedWorker], str | None]:
    """Return what the workers have published, and why that could not be read."""
    if settings is None:
        return [], [], None
    place = settings.redis
    try:
        async with (
            asyncio.timeout(timeout_s),
            connections.silent_connection(place, db=settings.redis_result_db) as redis,
        ):
            if (outage := await connections.outage(settings)) is not None:
                return [], [], outage
            published = await host_status.read_published(redis)
            return published, await worker_status.read_workers(redis), None
    except TimeoutError:
        return [], [], f"{place.address} does not answer within {round(timeout_s, 1):g} s"
    except (RedisError, OSError) as error:
        return [], [], redis_errors.why(error, place.address, user=place.user)


async def _read_orders(
    url: SecretStr | None, timeout_s: float
) -> tuple[Mapping[str, HostOrder], str | None]:
    """Return what operators have ordered, and why that could not be read."""
    if url is None:
        return {}, None
    engine = connect(url, pool_size=1)
    try:
        async with asyncio.timeout(timeout_s):
            return await HostOrders(engine).read(), None
    except TimeoutError:
        return {}, f"the database does not answer within {round(timeout_s, 1):g} s"
    except ImagegenError as error:
        return {}, error.sentence
    finally:
        await engine.dispose()


@dataclass(frozen=True, kw_only=True)
class _ResolvedName:
    """The hosts of one name of dns://; `why` some may be missing, None if none is."""

    name: str
    addresses: Sequence[HostAddress]
    why: str | None


async def _resolve(
    names: Sequence[DnsName], resolver: DnsResolver, timeout_s: float
) -> Sequence[_ResolvedName]:
    async def resolve(name: DnsName) -> _ResolvedName:
        ips: set[str] = set()
        why = None
        try:
            async with asyncio.timeout(timeout_s):
                for family in FAMILIES:
                    try:
                        ips |= await resolver.records(name.host, family)
                    except NameNotResolved as error:
                        why = str(error)
        except TimeoutError:
            why = f"no name server answers within {round(timeout_s, 1):g} s"
        return _ResolvedName(
            name=name.name, addresses=[name.address(ip) for ip in sorted(ips)], why=why
        )

    return await asyncio.gather(*map(resolve, names))
