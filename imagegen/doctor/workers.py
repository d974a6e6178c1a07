"""The workers: which run, in which versions, and whether those on the same hosts share their slots."""

from collections.abc import Iterator, Sequence

from redis.exceptions import RedisError

from chatflow_hook import redis_errors
from chatflow_hook.settings import RedisSettings
from imagegen import resources
from imagegen.doctor.finding import DoctorFinding, Findings, green, red, yellow
from imagegen.monitoring import worker_status
from imagegen.monitoring.published_values import KEPT_S
from imagegen.monitoring.worker_status import PublishedWorker
from imagegen.queue import connections


async def check(settings: RedisSettings) -> Findings:
    """Yield what the workers have published in Redis within the last seconds."""
    place = settings.redis
    async with connections.silent_connection(place, db=settings.redis_result_db) as redis:
        try:
            workers = await worker_status.read_workers(redis)
        except (RedisError, OSError) as error:
            why = redis_errors.why(error, place.address, user=place.user)
            yield yellow(f"nobody knows which workers run: {why}", "see redis")
            return
    for finding in compare(workers):
        yield finding


def compare(workers: Sequence[PublishedWorker]) -> Iterator[DoctorFinding]:
    """Yield what is wrong with these workers beside each other."""
    if not workers:
        yield red(
            f"no worker has said within {KEPT_S} s that it runs",
            "start one with `imagegen worker`; if one runs, it hangs: restart it; or it cannot "
            "write to Redis (see redis), has other settings of Redis, or is of an older version",
        )
        return
    own = resources.version()
    versions = sorted({worker.version for worker in workers} | {own})
    if len(versions) > 1:
        yield yellow(
            f"versions differ: {', '.join(f'{each.name} has {each.version}' for each in workers)}, "
            f"and this command {own}",
            "install the same version everywhere; that of the database first, see docs/database.md",
        )
    unshared = worker_status.why_unshared(workers)
    if unshared is not None:
        yield yellow(
            unshared,
            "set WORKERS_SHARE_HOSTS=true for all of them, or give each worker hosts of its own",
        )
    for worker in workers:
        state = (
            "stops" if worker.is_stopping else f"{worker.taken} of {worker.slots} slots are taken"
        )
        yield green(
            f"{worker.name} {worker.version} runs: {state}, {worker.waiting} jobs wait for one"
        )
