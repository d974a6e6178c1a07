"""The relay: rows whose doorbell never rang are rung for again."""

from uuid import UUID

import structlog
from arq.connections import ArqRedis
from arq.constants import job_key_prefix
from redis.exceptions import RedisError

from chatflow_hook import wire
from imagegen.errors import Unavailable
from imagegen.requests import Requests

log = structlog.get_logger(__name__)

EVERY_S = 5.0
# The hook rings right after its commit; a row this old has not been heard of.
_UNCLAIMED_S = 5.0
# Redis may also forget a request that a job had taken and put back. Longer, since a job that
# still runs would be overtaken: safe by the claim, but it may cost a second drawing.
_CLAIMED_S = 60.0


class Relay:
    """Finds open requests that Redis knows nothing of.

    They may have been written while Redis was away, or Redis was emptied since.
    """

    def __init__(self, requests: Requests, queue: ArqRedis) -> None:
        self._requests = requests
        self._queue = queue

    async def step(self) -> None:
        """Look once; several workers may look at the same time, since a job id is queued once."""
        try:
            silent = await self._requests.silent(unclaimed_s=_UNCLAIMED_S, claimed_s=_CLAIMED_S)
            for request_id in await self._unknown_to_redis(silent):
                await self._queue.enqueue_job(wire.JOB, str(request_id), _job_id=str(request_id))
                log.warning("rung again", request_id=str(request_id))
        except (Unavailable, RedisError) as error:
            log.warning("relay waits", why=str(error))

    async def _unknown_to_redis(self, requests: list[UUID]) -> list[UUID]:
        async with self._queue.pipeline(transaction=False) as pipe:
            for request_id in requests:
                pipe.exists(f"{job_key_prefix}{request_id}")
            known = await pipe.execute()
        return [each for each, is_known in zip(requests, known, strict=True) if not is_known]
