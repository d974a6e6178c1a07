"""Engines that share their compiled statements.

SQLAlchemy compiles a statement once for each engine, which takes 1 to 5 ms, longer than PostgreSQL
needs to run it. A program of several event loops, such as a Flask bot that starts one for each call,
has an engine in each.
"""

from typing import Any

from sqlalchemy import URL
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

# As many as there are statements in the code: none is made of what people write.
_compiled: dict[Any, Any] = {}


class SharedDialect(PGDialect_asyncpg):
    """SQLAlchemy's dialect for asyncpg, a part of the key under which a compiled statement is kept.

    Two are equal if they compile alike: for servers of the same version and the same spelling of
    strings, which are known from the first connection on.
    """

    supports_statement_cache = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SharedDialect) and self._kind == other._kind

    def __hash__(self) -> int:
        return hash(SharedDialect)

    @property
    def _kind(self) -> tuple[object, object]:
        spelling = getattr(self, "_backslash_escapes", None)  # SQLAlchemy's, and not public
        return getattr(self, "server_version_info", None), spelling


registry.register("postgresql.chatflow_asyncpg", __name__, SharedDialect.__name__)


def create_engine(url: URL, **options: Any) -> AsyncEngine:
    """Create an engine for asyncpg; `options` are those of `create_async_engine`, none of a dialect."""
    engine = create_async_engine(url.set(drivername="postgresql+chatflow_asyncpg"), **options)
    engine.update_execution_options(compiled_cache=_compiled)
    return engine
