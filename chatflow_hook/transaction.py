"""One transaction of the hook's own, for what a bot asks for outside a conversation."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook import cause, database

ResultT = TypeVar("ResultT")

_WITHIN_S = 15.0
# deadlock_detected, serialization_failure, lock_not_available
_LOST = {"40P01", "40001", "55P03"}
_DELAYS_S = (0.05, 0.2, 0.8)


class DatabaseFault(Exception):
    """The database could not do what was asked; the message says why and what to do.

    Nothing was changed, unless the connection broke just while the transaction was committed.
    The message quotes nothing that people wrote.
    """


async def run(
    engine: AsyncEngine, step: Callable[[AsyncConnection], Awaitable[ResultT]]
) -> ResultT:
    """Run a step in a transaction and commit it; up to four times if it loses to another one.

    Raises:
        DatabaseFault: it could not be done within 15 s.
    """
    try:
        async with asyncio.timeout(_WITHIN_S):
            return await _patiently(engine, step)
    except database.FAULTS as error:
        raise DatabaseFault(cause.of(error).sentence) from error


async def _patiently(
    engine: AsyncEngine, step: Callable[[AsyncConnection], Awaitable[ResultT]]
) -> ResultT:
    for delay in _DELAYS_S:
        try:
            async with engine.begin() as connection:
                return await step(connection)
        except database.FAULTS as error:
            if cause.sqlstate(error) not in _LOST:
                raise
        await asyncio.sleep(delay)
    async with engine.begin() as connection:
        return await step(connection)
