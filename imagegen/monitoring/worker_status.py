"""Which workers run, published in Redis for the status page and `imagegen doctor`."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, ValidationError
from redis.asyncio import Redis

from imagegen import resources
from imagegen.monitoring import published_values
from imagegen.pool.pool import Pool

_KEY_PREFIX = "imagegen:worker:"


class PublishedWorker(BaseModel):
    """A worker as it says itself.

    `started_at` is on its own clock. `taken` of its `slots` are lent, and `waiting` jobs wait for
    one. `hosts` are the names of its hosts, and `shares_hosts` whether it counts the slots that
    other workers have taken there.
    """

    # A newer worker may publish more.
    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    version: str
    started_at: datetime
    is_stopping: bool
    slots: int
    taken: int
    waiting: int
    hosts: tuple[str, ...] = ()
    shares_hosts: bool = False


def published(
    pool: Pool,
    *,
    name: str,
    shares_hosts: bool,
    is_stopping: Callable[[], bool],
) -> Mapping[str, Callable[[], str]]:
    """Return what says that the worker `name` runs, for `published_values.publishing`."""
    # Once, since it is read from files.
    version, started_at = resources.version(), datetime.now(UTC)

    def value() -> str:
        hosts = pool.status()
        itself = PublishedWorker(
            name=name,
            version=version,
            started_at=started_at,
            is_stopping=is_stopping(),
            slots=sum(host.slots for host in hosts),
            taken=pool.taken,
            waiting=pool.waiting,
            hosts=tuple(host.name for host in hosts),
            shares_hosts=shares_hosts,
        )
        return itself.model_dump_json()

    return {_KEY_PREFIX: value}


async def read_workers(redis: Redis) -> Sequence[PublishedWorker]:
    """Return what all workers have published, by name.

    What a worker of another version has published in a form that cannot be read is left out.

    Raises:
        RedisError: Redis cannot be used.
    """
    found = []
    for value in await published_values.read_values(redis, _KEY_PREFIX):
        with suppress(ValidationError):
            found.append(PublishedWorker.model_validate_json(value))
    return sorted(found, key=lambda worker: worker.name)


def are_shared(workers: Sequence[PublishedWorker]) -> bool:
    """Return whether all workers count the slots that the others have taken; False if none runs."""
    return bool(workers) and all(worker.shares_hosts for worker in workers)


def why_unshared(workers: Sequence[PublishedWorker]) -> str | None:
    """Return which workers give hosts more prompts than they should, None if none does."""
    unshared = _on_the_same_hosts(workers)
    if not unshared:
        return None
    return (
        f"{', '.join(each.name for each in unshared)} use the same hosts, and not all of them "
        "count the slots of the others, so a host gets more prompts than COMFYUI_SLOTS_PER_HOST"
    )


def _on_the_same_hosts(workers: Sequence[PublishedWorker]) -> list[PublishedWorker]:
    """Return the workers that have a host in common with another one, where one of them does not share."""
    return [
        worker
        for worker in workers
        if any(
            set(worker.hosts) & set(other.hosts)
            and not (worker.shares_hosts and other.shares_hosts)
            for other in workers
            if other is not worker
        )
    ]
