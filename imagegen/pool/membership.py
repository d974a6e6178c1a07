"""PoolMembership: which hosts a pool has, from COMFYUI_HOSTS, DNS and the orders of operators.

Where the three differ, an order counts more than COMFYUI_HOSTS and DNS. A host that leaves is
drained first: what runs on it ends, and the prompts that were left there are taken up.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import structlog

from imagegen.comfy.address import DnsName, HostAddress
from imagegen.comfy.client import HostClient
from imagegen.db.tables import HostUse
from imagegen.errors import ImagegenError
from imagegen.pool.dns_records import FAMILIES, DnsResolver, Family, NameNotResolved
from imagegen.pool.host import HostStatus
from imagegen.pool.host_orders import HostOrder, HostOrders
from imagegen.pool.pool import Pool

log = structlog.get_logger(__name__)
# Only changes, see imagegen/log_repeats.py.
changes_log = structlog.get_logger(f"{__name__}.changes")

HOSTS_EVERY_S = 2.0


class PoolMembership:
    """Adds hosts to a pool and takes them out again; open it with `async with`, and call `step`.

    `open_host` makes the client of a host. The clients are opened here, and closed when their host
    leaves or when the block ends; the pool must not run any more then.
    """

    def __init__(  # noqa: PLR0913 (where the hosts come from; all by name but one)
        self,
        pool: Pool,
        *,
        addresses: Sequence[HostAddress],
        dns_names: Sequence[DnsName],
        orders: HostOrders,
        open_host: Callable[[HostAddress], HostClient],
        resolver: DnsResolver | None = None,
    ) -> None:
        self.pool = pool
        self._addresses = addresses
        self._dns_names = dns_names
        self._orders_in_database = orders
        self._open_host = open_host
        self._resolver = resolver or DnsResolver()
        # The hosts of the first step are in the line `worker ready`.
        self._is_first_step = True
        self._members: dict[str, tuple[HostAddress, AsyncExitStack]] = {}
        # As they were last read: nothing changes while PostgreSQL or the name servers are away.
        self._orders: Mapping[str, HostOrder] = {}
        self._records: dict[tuple[DnsName, Family], frozenset[str]] = {}
        # Hosts of which the last step found that nothing needs them. It has to find so twice, as a
        # job that has just delivered still deletes what it has left on its host.
        self._unneeded: set[str] = set()
        # Orders by which a host was removed, and which this worker has found before.
        self._known_removals: set[HostOrder] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        members, self._members = self._members, {}
        await asyncio.gather(*(client.aclose() for _, client in members.values()))

    async def step(self) -> bool:
        """Read the orders and the DNS records once, and change the pool accordingly.

        Returns True if it has to be called again although nobody gives an order: there is one, which
        may go, or a host is leaving.
        """
        await asyncio.gather(
            self._read_orders(),
            *(self._resolve(name, family) for name in self._dns_names for family in FAMILIES),
        )
        wanted = self._wanted()
        joining = [wanted[name] for name in wanted if name not in self._members]
        await self._add([*joining, *await self._removed_but_needed()])
        for status in self.pool.status():
            self._set_use(status, wanted)
        leaving = [each for each in self.pool.status() if each.use is HostUse.REMOVED]
        self._unneeded &= {status.name for status in leaving}
        for status in leaving:
            if await self._may_leave(status):
                await self._remove(status.name)
        self._is_first_step = False
        return bool(self._orders or leaving)

    async def _read_orders(self) -> None:
        try:
            self._orders = await self._orders_in_database.read()
        except ImagegenError as error:
            log.warning("orders for hosts not read", code=error.code, why=error.sentence)

    async def _resolve(self, name: DnsName, family: Family) -> None:
        try:
            self._records[name, family] = await self._resolver.records(name.host, family)
        except NameNotResolved as error:
            log.warning("hosts of a dns name not read", name=name.name, why=str(error))

    def _wanted(self) -> dict[str, HostAddress]:
        """Return the hosts that the pool is to have, those that are drained included."""
        hosts = self._named()
        return {name: hosts[name] for name in hosts if self._use_of(name) is not HostUse.REMOVED}

    async def _removed_but_needed(self) -> list[HostAddress]:
        """Return removed hosts that still have a prompt of a request, for a worker that starts.

        Each order is looked at once. Workers that had the host before keep it by themselves.
        """
        removals = {
            order
            for order in self._orders.values()
            if order.use is HostUse.REMOVED and not order.gives_up
        }
        fresh, self._known_removals = removals - self._known_removals, removals
        hosts = self._named()
        return [
            hosts[order.name]
            for order in fresh
            if order.name in hosts
            and order.name not in self._members
            and await self._has_prompts(order.name)
        ]

    def _named(self) -> dict[str, HostAddress]:
        """Return the hosts that anything names, those that were removed included."""
        from_dns = [name.address(ip) for (name, _), ips in self._records.items() for ip in ips]
        added = [each.address for each in self._orders.values() if each.address is not None]
        # An address that was given by an order counts more than one of COMFYUI_HOSTS.
        return {each.name: each for each in (*from_dns, *self._addresses, *added)}

    def _use_of(self, name: str) -> HostUse:
        order = self._orders.get(name)
        return HostUse.ACTIVE if order is None else order.use

    async def _add(self, addresses: Sequence[HostAddress]) -> None:
        uses = {}
        for address in addresses:
            client, stack = self._open_host(address), AsyncExitStack()
            uses[await stack.enter_async_context(client)] = self._use_of(address.name)
            self._members[address.name] = address, stack
        if not uses:
            return
        await self.pool.add(uses)
        if not self._is_first_step:
            changes_log.info("hosts added", hosts=[client.name for client in uses])

    def _set_use(self, status: HostStatus, wanted: Mapping[str, HostAddress]) -> None:
        name, use = status.name, self._use_of(status.name)
        address, _ = self._members[name]
        if wanted.get(name) != address:
            # It is named nowhere any more, or at another address: then it comes back with that one.
            use = HostUse.REMOVED
        order = self._orders.get(name)
        gives_up = use is HostUse.REMOVED and order is not None and order.gives_up
        if status.use is not use or gives_up:
            self.pool.set_use(name, use, gives_up=gives_up)
        if status.use is not use:
            changes_log.info("use of a host changed", host=name, use=use.value)

    async def _may_leave(self, status: HostStatus) -> bool:
        """Whether nothing of ours needs a host any more that was removed."""
        if status.taken or await self._is_needed(status):
            self._unneeded.discard(status.name)
            return False
        if status.name in self._unneeded:
            return True
        self._unneeded.add(status.name)
        return False

    async def _is_needed(self, status: HostStatus) -> bool:
        order = self._orders.get(status.name)
        if status.is_silent or (order is not None and order.gives_up):
            # What was left there is drawn elsewhere.
            return False
        return await self._has_prompts(status.name)

    async def _has_prompts(self, name: str) -> bool:
        try:
            usage = await self._orders_in_database.usage(name)
        except ImagegenError:
            return True  # nobody knows
        return bool(usage.requests or usage.strays)

    async def _remove(self, name: str) -> None:
        if not await self.pool.remove(name):
            return  # a prompt that was left there was taken up just now
        _, client = self._members.pop(name)
        await client.aclose()
        self._unneeded.discard(name)
        changes_log.info("host removed", host=name)
