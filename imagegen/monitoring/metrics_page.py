"""/metrics: what Prometheus reads of a worker."""

import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from imagegen import resources
from imagegen.db.tables import HostUse
from imagegen.metrics import HostPrices
from imagegen.monitoring.readings import Readings
from imagegen.pipeline.context import JobContext
from imagegen.pool.health import Condition
from imagegen.pool.host import HostStatus

# Label values in the order of the label names, and the value.
_Samples = Iterable[tuple[Sequence[str], float]]

# Crystools tells the utilisation each second to a host's clients; we are one while we draw there.
_UTILISATION_NEWS_FOR_S = 30.0
# A language model's server may answer with any of 900 status codes; only the class is a label.
_HTTP_STATUS = re.compile(r"http_(\d)\d\d")


# Prometheus gives up after some seconds; what is not known by then is left out, or a little old.
_REFRESH_WITHIN_S = 1.0


class MetricsPage:
    """The page with all metrics of a registry, in the form that Prometheus asks for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._readings: Readings | None = None

    @property
    def route(self) -> web.RouteDef:
        """The route of the page."""
        return web.get("/metrics", self._answer)

    @asynccontextmanager
    async def showing(self, collector: Collector, readings: Readings) -> AsyncIterator[None]:
        """Show also what a collector has from these readings, while the block runs."""
        self._registry.register(collector)
        self._readings = readings
        try:
            yield
        finally:
            self._readings = None
            self._registry.unregister(collector)
            await readings.close()

    async def _answer(self, request: web.Request) -> web.Response:
        if self._readings is not None:
            await self._readings.refresh(within_s=_REFRESH_WITHIN_S)
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})


class WorkerCollector(Collector):
    """The state of a worker, its hosts and the queue; all of it is in memory, nothing is awaited.

    `fallbacks` counts, by reason, the prompts that the template wrote instead of the language model.
    """

    def __init__(
        self,
        context: JobContext,
        readings: Readings,
        *,
        prices: HostPrices,
        fallbacks: Mapping[str, int],
    ) -> None:
        self._context = context
        self._readings = readings
        self._prices = prices
        self._fallbacks = fallbacks

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics; those of which nothing is known now have no series."""
        hosts = self._context.pool.status()
        self._context.metrics.keep_hosts([host.name for host in hosts])
        yield from self._worker()
        yield from self._hosts(hosts)
        yield from self._gpus(hosts)
        yield from self._queue()
        yield from self._money(hosts)

    def _worker(self) -> Iterator[Metric]:
        yield _gauge("worker_info", "Always 1", "version", [((resources.version(),), 1)])
        report = self._readings.readiness.value
        is_ready: _Samples = [] if report is None else [((), report.is_ready)]
        yield _gauge("ready", "1 if the worker is ready, as /readyz says", "", is_ready)
        checks = () if report is None else report.checks
        yield _gauge(
            "check_ok",
            "1 if a check of /readyz finds nothing wrong, 0 if it finds something",
            "check",
            [((name,), report is not None and name not in report.failing) for name in checks],
        )
        clocks = {} if report is None else report.clocks_ahead_s
        yield _gauge(
            "clock_ahead_seconds",
            "How far the clock of a server is ahead of this worker's",
            "server",
            [((server,), ahead_s) for server, ahead_s in clocks.items()],
        )
        free = self._readings.store_free_bytes.value
        yield _gauge(
            "store_free_bytes",
            "Free space of the image store, where it is a directory",
            "",
            [] if free is None else [((), free)],
        )
        yield from self._prompts_and_cache()

    def _prompts_and_cache(self) -> Iterator[Metric]:
        fallbacks: Counter[str] = Counter()
        for reason, count in self._fallbacks.items():
            fallbacks[_HTTP_STATUS.sub(r"http_\1xx", reason)] += count
        yield _counter(
            "prompt_fallbacks",
            "Prompts that the template wrote instead of the language model or the bot",
            "reason",
            [((reason,), count) for reason, count in fallbacks.items()],
        )
        saved = self._context.image_cache.saved
        hits, saved_s = [((), saved.pictures)], [((), saved.seconds)]
        yield _counter("cache_hits", "Pictures that were not drawn again", "", hits)
        yield _counter("cache_saved_seconds", "Seconds to draw them that were saved", "", saved_s)

    def _hosts(self, hosts: Sequence[HostStatus]) -> Iterator[Metric]:
        states = [
            ((host.name, state.value), _state(host) is state)
            for host in hosts
            for state in (*Condition, HostUse.DRAINING, HostUse.REMOVED)
        ]
        yield _gauge(
            "host_state", "1 for the state of a host, 0 for the others", "host state", states
        )
        slots = [((host.name,), host.slots) for host in hosts]
        yield _gauge("host_slots", "Slots of a host", "host", slots)
        taken = [((host.name,), host.taken) for host in hosts]
        yield _gauge("host_slots_taken", "Slots that this worker has lent", "host", taken)
        waiting = [((), self._context.pool.waiting)]
        yield _gauge("slot_waiters", "Pictures of this worker that wait for a slot", "", waiting)
        resources = self._readings.hosts.value or {}
        foreign = [
            ((host.name,), max(0, resources[host.name].queue - host.taken))
            for host in hosts
            if host.name in resources
        ]
        yield _gauge(
            "host_foreign_prompts", "Prompts on a host that are not this worker's", "host", foreign
        )

    def _gpus(self, hosts: Sequence[HostStatus]) -> Iterator[Metric]:
        resources = self._readings.hosts.value or {}
        devices = [
            ((host.name, str(number)), device)
            for host in hosts
            if host.name in resources
            for number, device in enumerate(resources[host.name].devices)
        ]
        total = [(labels, device.memory) for labels, device in devices]
        yield _gauge("host_vram_total_bytes", "Memory of a device", "host device", total)
        free = [(labels, device.memory_free) for labels, device in devices]
        yield _gauge("host_vram_free_bytes", "Free memory of a device", "host device", free)
        now = time.monotonic()
        utilisation = [
            ((host, str(number)), ratio)
            for host, (told_at, ratios) in self._context.metrics.gpu_utilisation.items()
            if now - told_at < _UTILISATION_NEWS_FOR_S
            for number, ratio in enumerate(ratios)
        ]
        yield _gauge(
            "host_gpu_utilisation_ratio",
            "How busy a GPU is, 0 to 1, where a host tells it",
            "host device",
            utilisation,
        )

    def _queue(self) -> Iterator[Metric]:
        requests = self._readings.open_requests.value
        counts = {} if requests is None else requests.counts
        yield _gauge(
            "queue_depth",
            "Open requests of all workers",
            "state",
            [((state,), count) for state, count in counts.items()],
        )
        oldest: _Samples = [] if requests is None else [((), requests.oldest_s)]
        yield _gauge("queue_oldest_seconds", "For how long somebody has waited", "", oldest)

    def _money(self, hosts: Sequence[HostStatus]) -> Iterator[Metric]:
        prices = [((host.name,), self._prices.per_hour(host.name)) for host in hosts]
        yield _gauge("host_price_per_hour", "HOST_PRICE_PER_HOUR of a host", "host", prices)
        spent, limit = self._readings.spent.value, self._context.cost_limit.per_day
        yield _gauge(
            "cost_last_day",
            "What the pictures of all workers cost in the last 24 hours",
            "",
            [] if spent is None else [((), spent)],
        )
        yield _gauge(
            "cost_limit_per_day",
            "COST_LIMIT_PER_DAY, where it is set",
            "",
            [] if limit is None else [((), limit)],
        )


def _state(host: HostStatus) -> Condition | HostUse:
    """How a host is, or for one that an operator has drained or removed, that it is."""
    return host.condition if host.use is HostUse.ACTIVE else host.use


def _gauge(name: str, text: str, labels: str, samples: _Samples) -> Metric:
    family = GaugeMetricFamily(f"imagegen_{name}", text, labels=labels.split())
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _counter(name: str, text: str, labels: str, samples: _Samples) -> Metric:
    family = CounterMetricFamily(f"imagegen_{name}", text, labels=labels.split())
    for values, value in samples:
        family.add_metric(values, value)
    return family
