"""How each worker sees the hosts, published in Redis for `imagegen hosts`."""

import json
from collections.abc import Callable, Mapping, Sequence

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from redis.asyncio import Redis

from imagegen.db.tables import HostUse
from imagegen.monitoring import published_values
from imagegen.pool.pool import Pool

_KEY_PREFIX = "imagegen:hosts:"


class PublishedHost(BaseModel):
    """One host as one worker sees it.

    `model_set` is what the worker drew last there, None before the first drawing, and `loaded` what
    the host is known to have in memory, None if unknown. `why` is the reason why the host is not up,
    None if it is. `use`, `address` and `loaded` are missing where an older worker publishes.
    """

    # A newer worker may publish more.
    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    condition: str
    slots: int
    taken: int
    model_set: str | None
    why: str | None
    use: str = HostUse.ACTIVE
    address: str | None = None
    loaded: str | None = None


_HOSTS = TypeAdapter(list[PublishedHost])


def hosts_of(pool: Pool) -> list[PublishedHost]:
    """Return the hosts of this worker as it sees them now."""
    return [
        PublishedHost(
            name=host.name,
            condition=host.condition.value,
            slots=host.slots,
            taken=host.taken,
            model_set=host.model_set,
            why=host.why,
            use=host.use.value,
            address=host.address,
            loaded=host.loaded,
        )
        for host in pool.status()
    ]


def published(pool: Pool) -> Mapping[str, Callable[[], str]]:
    """Return what says how this worker sees its hosts, for `published_values.publishing`."""
    return {_KEY_PREFIX: lambda: json.dumps([host.model_dump() for host in hosts_of(pool)])}


async def read_published(redis: Redis) -> Sequence[PublishedHost]:
    """Return what all workers have published, each host once for each worker.

    What a worker of another version has published in a form that cannot be read is left out.

    Raises:
        RedisError: Redis cannot be used.
    """
    values = await published_values.read_values(redis, _KEY_PREFIX)
    return [host for value in values for host in _read(value)]


async def count_workers(redis: Redis) -> int:
    """Return how many workers have published lately.

    Raises:
        RedisError: Redis cannot be used.
    """
    return len(await published_values.read_values(redis, _KEY_PREFIX))


def _read(packed: bytes) -> list[PublishedHost]:
    try:
        return _HOSTS.validate_json(packed)
    except ValidationError:
        return []
