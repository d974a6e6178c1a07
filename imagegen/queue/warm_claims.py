"""WarmClaims: which models are loaded or being loaded on some host, for all workers, in Redis."""

from collections.abc import Collection
from contextlib import suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError

CLAIM_S = 15.0


class WarmClaims:
    """One key for each model set; whoever has set it loads the models or knows them to be loaded.

    The keys expire, so a worker that dies, or whose host was restarted, holds nothing up for long.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def take(self, model_set: str) -> bool:
        """Claim a model set for `CLAIM_S`; False if it is claimed, or while Redis is away."""
        try:
            return bool(await self._redis.set(_key(model_set), "", px=_ms(CLAIM_S), nx=True))
        except (RedisError, OSError):
            return False

    async def hold(self, model_sets: Collection[str], *, for_s: float = CLAIM_S) -> None:
        """Keep model sets claimed from now on, whoever has claimed them before."""
        if not model_sets:
            return
        with suppress(RedisError, OSError):
            async with self._redis.pipeline(transaction=False) as pipe:
                for model_set in model_sets:
                    pipe.set(_key(model_set), "", px=_ms(for_s))
                await pipe.execute()


def _key(model_set: str) -> str:
    return f"imagegen:warm:{model_set}"


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
