"""All that the status page shows, as plain objects, read once for all who look."""

import asyncio
import json
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from chatflow_hook import redis_errors
from chatflow_hook.queue import progress_key
from chatflow_hook.settings import RedisPlace
from chatflow_hook.tables import Kind
from imagegen.errors import Unavailable
from imagegen.monitoring import host_status, worker_status
from imagegen.monitoring.host_status import PublishedHost
from imagegen.monitoring.readiness import Readiness
from imagegen.monitoring.status import status_queries
from imagegen.monitoring.status.status_queries import (
    EndedRequests,
    OpenRequest,
    OpenRequests,
    StatusQueries,
)
from imagegen.monitoring.status.waiting import Circumstances, why_waits
from imagegen.monitoring.worker_status import PublishedWorker
from imagegen.pool.pool import Pool
from imagegen.queue.live_progress import waiting_key
from imagegen.requests.pauses import Pause, Pauses

log = structlog.get_logger(__name__)

# The most that all who look cost together: one reading a second, and the long queries every 3 s.
FRESH_S = 1.0
_ENDED_FRESH_S = 3.0
_REDIS_WITHIN_S = 2.0
# From the best condition of a host to the worst.
_SEVERITY = ("up", "suspect", "aside", "down")


@dataclass(frozen=True, kw_only=True)
class StatusSources:
    """Where the page reads. `hosts_are_shared`: workers count the slots of hosts together."""

    queries: StatusQueries
    pauses: Pauses
    redis: Redis
    redis_place: RedisPlace
    pool: Pool
    readiness: Readiness
    worker: str
    personas: Callable[[], Iterable[str]]
    hosts_are_shared: bool


@dataclass(frozen=True, kw_only=True)
class _FromRedis:
    """What Redis has: live progress by request, why requests wait, and what workers publish."""

    outage: str | None = None
    progress: Mapping[str, float] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    hosts: Sequence[PublishedHost] = ()
    workers: Sequence[PublishedWorker] = ()


class Snapshots:
    """Reads what the page shows, at most once a second, however many look.

    `clock` returns seconds.
    """

    def __init__(
        self, sources: StatusSources, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sources = sources
        self._clock = clock
        self._lock = asyncio.Lock()
        self._latest: dict[str, Any] = {}
        self._read_at = self._ended_at = float("-inf")
        self._ended: EndedRequests | None = None

    def expire(self) -> None:
        """Read anew at the next call, since something was changed."""
        self._read_at = self._ended_at = float("-inf")

    async def latest(self) -> dict[str, Any]:
        """Return each part of the page by name; it raises nothing for a server that is away."""
        async with self._lock:
            if self._clock() - self._read_at >= FRESH_S:
                self._latest = await self._read()
                self._read_at = self._clock()
            return self._latest

    async def _read(self) -> dict[str, Any]:
        sources = self._sources
        report = await sources.readiness.report()
        outage: str | None = None
        under_way: OpenRequests | None = None
        pauses: Sequence[Pause] = ()
        try:
            under_way = await sources.queries.open_requests()
            pauses = await sources.pauses.all()
            await self._read_ended()
        except Unavailable as error:
            outage = error.sentence
        redis = await self._from_redis(under_way)
        hosts = _hosts(
            redis.hosts or host_status.hosts_of(sources.pool), are_shared=sources.hosts_are_shared
        )
        around = Circumstances(
            pauses=pauses,
            conditions={host["name"]: host["condition"] for host in hosts},
            # While Redis is away nobody publishes; this worker runs.
            workers=max(1, len(redis.workers)),
            reasons=redis.reasons,
        )
        return {
            "worker": {
                "name": sources.worker,
                "missing": dict(report.missing),
                "warnings": dict(report.warnings),
                "stopping": report.is_stopping,
            },
            "outages": {
                name: why
                for name, why in (("postgresql", outage), ("redis", redis.outage))
                if why is not None
            },
            "workers": [worker.model_dump(mode="json") for worker in redis.workers],
            "hosts": _with_drawings(hosts, under_way, redis.progress),
            "queue": None if under_way is None else _queue(under_way, around),
            "pauses": [
                {"scope": each.scope, "name": each.name, "at": _at(each.paused_at)}
                for each in pauses
            ],
            "choices": {
                "persona": sorted(sources.personas()),
                "kind": [kind.value for kind in Kind],
            },
            **({} if self._ended is None else _ended_parts(self._ended)),
        }

    async def _read_ended(self) -> None:
        if self._clock() - self._ended_at >= _ENDED_FRESH_S:
            self._ended = await self._sources.queries.ended_requests()
            self._ended_at = self._clock()

    async def _from_redis(self, under_way: OpenRequests | None) -> _FromRedis:
        drawing = [] if under_way is None else [each.id for each in under_way.drawing]
        waiting = [] if under_way is None else [each.id for each in under_way.waiting]
        redis = self._sources.redis
        try:
            async with asyncio.timeout(_REDIS_WITHIN_S):
                return _FromRedis(
                    progress={
                        request_id: share
                        for request_id, told in (
                            await _told(redis, drawing, key=progress_key)
                        ).items()
                        if isinstance(share := told.get("share"), int | float)
                    },
                    reasons={
                        request_id: str(told.get("why"))
                        for request_id, told in (
                            await _told(redis, waiting, key=waiting_key)
                        ).items()
                    },
                    hosts=await host_status.read_published(redis),
                    workers=await worker_status.read_workers(redis),
                )
        except (RedisError, OSError, TimeoutError) as error:
            place = self._sources.redis_place
            return _FromRedis(outage=redis_errors.why(error, place.address, user=place.user))


@cache
def what_to_do() -> Mapping[str, str]:
    """Return what an operator does about each error code."""
    file = Path(__file__).with_name("what_to_do.toml")
    return tomllib.loads(file.read_text("utf-8"))


async def _told(
    redis: Redis, request_ids: Sequence[UUID], *, key: Callable[[UUID], str]
) -> dict[str, dict[str, Any]]:
    values = await redis.mget([key(each) for each in request_ids]) if request_ids else []
    pairs = zip(request_ids, values, strict=True)
    return {str(request_id): json.loads(value) for request_id, value in pairs if value}


def _hosts(published: Sequence[PublishedHost], *, are_shared: bool) -> list[dict[str, Any]]:
    """Return each host once, as the worker sees it that sees it worst."""
    found: dict[str, dict[str, Any]] = {}
    for host in sorted(published, key=lambda each: (each.name, -_severity(each.condition))):
        if (known := found.get(host.name)) is None:
            found[host.name] = {
                "name": host.name,
                "condition": host.condition,
                "why": host.why,
                "use": host.use,
                "slots": host.slots,
                "taken": host.taken,
            }
        else:
            known["taken"] += host.taken
            known["slots"] = (
                max(known["slots"], host.slots) if are_shared else known["slots"] + host.slots
            )
    return list(found.values())


def _severity(condition: str) -> int:
    return _SEVERITY.index(condition) if condition in _SEVERITY else len(_SEVERITY)


def _with_drawings(
    hosts: list[dict[str, Any]], under_way: OpenRequests | None, progress: Mapping[str, float]
) -> list[dict[str, Any]]:
    drawing = () if under_way is None else under_way.drawing
    known = {host["name"] for host in hosts}
    # A host that no worker has any more may still have prompts of open requests.
    left = sorted({each.host for each in drawing if each.host and each.host not in known})
    gone = [
        {
            "name": name,
            "condition": "gone",
            "why": "no worker uses this host any more",
            "use": "removed",
            "slots": 0,
            "taken": 0,
        }
        for name in left
    ]
    return [
        {
            **host,
            "draws": [
                {**_request(each), "at": _at(each.updated_at), "share": progress.get(str(each.id))}
                for each in drawing
                if each.host == host["name"]
            ],
        }
        for host in [*hosts, *gone]
    ]


def _queue(under_way: OpenRequests, around: Circumstances) -> dict[str, Any]:
    return {
        "counts": under_way.counts,
        "oldest_at": _at(under_way.oldest_at),
        "waiting": [
            {
                **_request(each),
                "state": each.state,
                "at": _at(each.queued_at),
                "why": why_waits(each, around),
            }
            for each in under_way.waiting
        ],
    }


def _request(request: OpenRequest) -> dict[str, Any]:
    return {"id": str(request.id), "persona": request.persona, "kind": request.kind}


def _ended_parts(ended: EndedRequests) -> dict[str, Any]:
    counted = ended.total["delivered"] + ended.total["failed"]
    advice = what_to_do()
    return {
        "goal": {
            "hours": status_queries.CHART_HOURS,
            "in_time_s": status_queries.IN_TIME_S,
            "share": ended.total["in_time"] / counted if counted else None,
            "delivered": ended.total["delivered"],
            "failed": ended.total["failed"],
            "p95_s": ended.total["p95_s"],
        },
        "chart": {
            "bucket_s": status_queries.BUCKET_S,
            "hours": status_queries.CHART_HOURS,
            "buckets": [{**row, "bucket": float(row["bucket"])} for row in ended.chart],
        },
        "failures": {
            "hours": status_queries.FAILURE_HOURS,
            "groups": [
                {**row, "last_at": _at(row["last_at"]), "what": advice.get(row["error_code"])}
                for row in ended.failures
            ],
            "last": [
                {**row, "id": str(row["id"]), "finished_at": _at(row["finished_at"])}
                for row in ended.last_failed
            ],
        },
        "pictures": [
            {**row, "id": str(row["id"]), "finished_at": _at(row["finished_at"])}
            for row in ended.pictures
        ],
        "reported": [
            {**row, "id": str(row["id"]), "reported_at": _at(row["reported_at"])}
            for row in ended.reported
        ],
    }


def _at(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
