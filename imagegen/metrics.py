"""Metrics: what one worker counts, for Prometheus (docs/metrics.md has the table).

`bootstrap.py` makes one `Metrics` for each worker and hands it to the constructors of what counts;
one that gets none counts into a `Metrics` of its own, which nobody reads. There is no global
registry: several workers in one process each count their own.

No label holds the id of a user, a chat, a dialog or a request, and each label has few values.
"""

import enum
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

# The label of a persona that has no folder: a bot may send any name.
OTHER = "other"


class PictureStage(enum.StrEnum):
    """The stages on the way of a picture, in their order; WHOLE is from the message to the chat."""

    # From the request to the job that claims it.
    WAITING = "waiting"
    # The content check, and the writing of the prompt.
    PROMPT = "prompt"
    # Until a host has a free slot.
    SLOT = "slot"
    # In the host's own queue: from the POST to the start of the prompt.
    HOST_QUEUE = "host_queue"
    # From the start of the prompt to the first step of its sampler.
    LOADING = "loading"
    # From there to the end of the prompt.
    DRAWING = "drawing"
    FETCH = "fetch"
    STORE = "store"
    # The send to Telegram, with short waits for its limits.
    DELIVER = "deliver"
    WHOLE = "whole"


# In seconds. The objective in docs/deploy/prometheus/rules.yaml has to be one of them.
STAGE_BUCKETS = (
    *(0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0),
    *(45.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0, 900.0),
)


class StageTimes:
    """The seconds that one job has spent in each stage of its request."""

    def __init__(self) -> None:
        self._seconds: dict[PictureStage, float] = {}

    def add(self, stage: PictureStage, seconds: float) -> None:
        """Add seconds to a stage; a job may pass it more than once."""
        self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds

    @property
    def rounded(self) -> Mapping[str, float]:
        """The seconds by stage for the log, in the order of the stages."""
        return {
            stage.value: round(self._seconds[stage], 2)
            for stage in PictureStage
            if stage in self._seconds
        }


@dataclass(frozen=True, kw_only=True)
class PromptTimes:
    """When a prompt on a host was ready, posted, started, drew its first step and ended.

    All are seconds on one clock. None: it did not come so far, or its event was missed.
    `ready_at`: since when the picture waited for a slot.
    """

    ready_at: float
    posted_at: float | None
    started_at: float | None
    first_step_at: float | None
    ended_at: float


@dataclass(frozen=True, kw_only=True)
class HostPrices:
    """What an hour of a host costs, in the operator's currency; `others` for hosts not named."""

    others: float = 0.0
    by_host: Mapping[str, float] = field(default_factory=dict)

    def per_hour(self, host: str) -> float:
        """Return the price of an hour of this host; 0 if the operator has given none."""
        return self.by_host.get(host, self.others)


class Metrics:
    """The counters and histograms of one worker, in `registry`.

    `persona_name` returns the folder's name of a persona that a bot has named, None if there is none. What is read only when Prometheus asks, such as the
    state of hosts, is added to the registry by `imagegen/monitoring/metrics_page.py`.
    """

    def __init__(
        self,
        *,
        persona_name: Callable[[str], str | None] = lambda _: None,
        prices: HostPrices | None = None,
    ) -> None:
        self.registry = CollectorRegistry()
        # By host: the utilisation of each of its GPUs, 0 to 1, and when it was told.
        self.gpu_utilisation: dict[str, tuple[float, tuple[float, ...]]] = {}
        self._persona_name = persona_name
        self._prices = prices or HostPrices()
        self._last_end: dict[str, float] = {}
        # Those that may have series.
        self._hosts: set[str] = set()
        ProcessCollector(registry=self.registry)
        self._define_requests()
        self._define_hosts()
        self._define_sends()

    @contextmanager
    def timed(self, stage: PictureStage, times: StageTimes) -> Iterator[None]:
        """Measure the block as a stage; a block that raises is not counted."""
        started = time.monotonic()
        yield
        self.passed(stage, time.monotonic() - started, times)

    def passed(self, stage: PictureStage, seconds: float, times: StageTimes) -> None:
        """Count a stage that took so long."""
        seconds = max(0.0, seconds)
        times.add(stage, seconds)
        self._stages.labels(stage.value).observe(seconds)

    def delivered(self, *, kind: str, persona: str, seconds: float | None) -> None:
        """Count a request that is delivered; `seconds` since the message, None if there is none."""
        self._requests.labels(kind, self._persona(persona), "delivered").inc()
        if seconds is not None:
            self._stages.labels(PictureStage.WHOLE.value).observe(max(0.0, seconds))

    def ended(self, *, kind: str, persona: str, end: str, code: str) -> None:
        """Count a request that has ended without a picture; `end` is its state."""
        self._requests.labels(kind, self._persona(persona), end).inc()
        counter = self._refusals if end == "refused" else self._failures
        counter.labels(code).inc()

    def retried(self, code: str) -> None:
        """Count a request that goes back to the queue."""
        self._retries.labels(code).inc()

    def prompt_ended(self, host: str, times: PromptTimes, *, persona: str, end: str) -> None:
        """Count a prompt that has ended on a host; `end` is `drawn`, or what became of it instead."""
        self._hosts.add(host)
        self._prompts.labels(host, end).inc()
        if times.started_at is None:
            return
        busy_s = max(0.0, times.ended_at - times.started_at)
        self._busy.labels(host).inc(busy_s)
        price = self._prices.per_hour(host)
        self._cost.labels(self._persona(persona)).inc(busy_s / 3600 * price)
        idle_since = max(times.ready_at, self._last_end.get(host, times.ready_at))
        self._idle.labels(host).inc(max(0.0, times.started_at - idle_since))
        self._last_end[host] = times.ended_at

    def warmed(self, host: str, *, end: str) -> None:
        """Count models that a host loaded ahead; `end` is `loaded`, or what became of it instead."""
        self._hosts.add(host)
        self._warmings.labels(host, end).inc()

    def gpus_told(self, host: str, utilisation: tuple[float, ...]) -> None:
        """Note how busy the GPUs of a host are, each from 0 to 1."""
        self._hosts.add(host)
        self.gpu_utilisation[host] = (time.monotonic(), utilisation)

    def sent(self, outcome: str, *, is_resend: bool = False) -> None:
        """Count a send; `is_resend`: an earlier one of the same picture may have arrived."""
        self._sends.labels(outcome).inc()
        if is_resend and outcome == "sent":
            self._resends.inc()

    def flood_wait(self, seconds: float) -> None:
        """Count a pause that Telegram demands."""
        self._flood_waits.inc()
        self._flood_wait_seconds.inc(max(0.0, seconds))

    def keep_hosts(self, names: Collection[str]) -> None:
        """Drop the series of all other hosts: those are gone."""
        for host in self._hosts.difference(names):
            self._last_end.pop(host, None)
            self.gpu_utilisation.pop(host, None)
            for counter in (self._busy, self._idle, self._prompts, self._warmings):
                counter.remove_by_labels({"host": host})
        self._hosts.intersection_update(names)

    def _persona(self, name: str) -> str:
        return self._persona_name(name) or OTHER

    def _define_requests(self) -> None:
        self._requests = self._counter(
            "requests", "Requests that this worker has brought to their end", "kind persona end"
        )
        self._failures = self._counter(
            "failures", "Requests that ended without a picture, not refused ones", "code"
        )
        self._refusals = self._counter(
            "refusals", "Requests that the content policy refused", "rule"
        )
        self._retries = self._counter(
            "retries", "How often a request went back to the queue", "code"
        )
        self._stages = Histogram(
            "imagegen_stage_seconds",
            "Seconds that a picture took in a stage",
            ["stage"],
            buckets=STAGE_BUCKETS,
            registry=self.registry,
        )
        for stage in PictureStage:  # so that none is absent before its first picture
            self._stages.labels(stage.value)

    def _define_hosts(self) -> None:
        self._prompts = self._counter(
            "host_prompts", "Prompts of this worker that ended on a host", "host end"
        )
        self._warmings = self._counter(
            "host_warmings", "How often a host loaded the models of a persona ahead", "host end"
        )
        self._busy = self._counter(
            "gpu_busy_seconds", "Seconds for which a host worked on prompts of this worker", "host"
        )
        self._idle = self._counter(
            "gpu_idle_seconds",
            "Seconds for which a host had begun nothing while a picture waited that it then drew",
            "host",
        )
        self._cost = self._counter(
            "picture_cost", "Price of the busy seconds, in the currency of the prices", "persona"
        )

    def _define_sends(self) -> None:
        self._sends = self._counter("sends", "Sends of pictures to Telegram", "outcome")
        for outcome in ("sent", "unknown", "not_sent", "refused"):
            self._sends.labels(outcome)
        self._resends = self._counter(
            "resends", "Pictures that were sent again after one that may have arrived"
        )
        self._flood_waits = self._counter("flood_waits", "Pauses that Telegram demanded")
        self._flood_wait_seconds = self._counter(
            "flood_wait_seconds", "Seconds of these pauses together"
        )

    def _counter(self, name: str, text: str, labels: str = "") -> Counter:
        return Counter(f"imagegen_{name}", text, labels.split(), registry=self.registry)
