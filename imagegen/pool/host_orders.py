"""HostOrders: what operators have said of hosts, kept in PostgreSQL for all workers."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook.direct_query import DirectQuery
from chatflow_hook.tables import OPEN, ImageRequest
from imagegen.comfy.address import HostAddress
from imagegen.db.engine import all_rows, run_statement
from imagegen.db.tables import ComfyuiHost, HostUse, StrayPrompt

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, kw_only=True)
class HostOrder:
    """The last order for one host.

    Attributes:
        address: where the host is, None if it was never added.
        gives_up: the prompts on the removed host are cancelled instead of awaited.
    """

    name: str
    address: HostAddress | None
    use: HostUse
    gives_up: bool = False
    note: str | None = None
    changed_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class HostUsage:
    """What still needs a host: open requests with a prompt there, and prompts to be taken off it."""

    requests: int
    strays: int


# Built once, since it is asked every two seconds while there are orders or names in the DNS.
_ORDERS = DirectQuery(select(*ComfyuiHost.__table__.columns).order_by(ComfyuiHost.name))


class HostOrders:
    """Reads and writes the orders. Every method raises Unavailable if PostgreSQL cannot be used.

    Each method is one statement, so that commands of two operators cannot get between.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def read(self) -> Mapping[str, HostOrder]:
        """Return the last order for each host, by its name.

        An order that only a newer version knows is left out.
        """
        rows = await all_rows(self._engine, _ORDERS)
        return {row.name: _order(row) for row in rows if row.use in set(HostUse)}

    async def add(self, address: HostAddress, *, note: str | None = None) -> None:
        """Use a host, whatever was ordered before."""
        await self._write(
            name=address.name,
            address=str(address.base),
            use=HostUse.ACTIVE,
            cancels_prompts=False,
            note=note,
        )

    async def drain(self, name: str, *, note: str | None = None) -> None:
        """Let what runs on a host end, and begin nothing new; nothing changes for a removed host."""
        await self._write(name=name, use=HostUse.DRAINING, note=note)

    async def resume(self, name: str) -> None:
        """Use a drained host again; nothing changes for a removed host."""
        await self._write(name=name, use=HostUse.ACTIVE, note=None)

    async def remove(self, name: str, *, gives_up: bool, note: str | None = None) -> None:
        """Remove a host once its prompts have ended; with `gives_up` they are cancelled."""
        await self._write(name=name, use=HostUse.REMOVED, cancels_prompts=gives_up, note=note)

    async def usage(self, name: str) -> HostUsage:
        """Return what still needs a host."""
        requests = (
            select(func.count())
            .select_from(ImageRequest)
            .where(
                ImageRequest.state.in_(OPEN),
                ImageRequest.host == name,
                ImageRequest.prompt_id.is_not(None),
            )
        )
        strays = select(func.count()).select_from(StrayPrompt).where(StrayPrompt.host == name)
        query = select(requests.scalar_subquery(), strays.scalar_subquery())

        async def step(connection: AsyncConnection) -> HostUsage:
            row = (await connection.execute(query)).one()
            return HostUsage(requests=row[0], strays=row[1])

        return await self._run(step)

    async def _write(self, **values: Any) -> None:
        values["use"] = values["use"].value
        statement = insert(ComfyuiHost).values(**values)
        is_always_written = values["use"] == HostUse.REMOVED or "address" in values
        statement = statement.on_conflict_do_update(
            index_elements=[ComfyuiHost.name],
            set_={**values, "changed_at": func.now()},
            where=None if is_always_written else ComfyuiHost.use != HostUse.REMOVED.value,
        )
        await self._run(lambda connection: connection.execute(statement))

    async def _run(self, step: Callable[[AsyncConnection], Awaitable[ResultT]]) -> ResultT:
        return await run_statement(self._engine, step)


def _order(row: Any) -> HostOrder:
    return HostOrder(
        name=row.name,
        address=None if row.address is None else HostAddress.parse(row.address),
        use=HostUse(row.use),
        gives_up=row.cancels_prompts,
        note=row.note,
        changed_at=row.changed_at,
    )
