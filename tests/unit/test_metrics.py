"""What a worker counts of hosts: busy and idle seconds, their price, and hosts that are gone."""

from prometheus_client import generate_latest

from imagegen.metrics import HostPrices, Metrics, PromptTimes

A, B = "gpu-1:8188", "gpu-2:8188"


def times(*, ready: float, started: float | None, ended: float) -> PromptTimes:
    return PromptTimes(
        ready_at=ready, posted_at=ready, started_at=started, first_step_at=None, ended_at=ended
    )


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"imagegen_{name}", labels)


def drawn(metrics: Metrics, host: str, prompt: PromptTimes) -> None:
    metrics.prompt_ended(host, prompt, persona="lina", end="drawn")


def test_a_host_is_idle_from_when_a_picture_is_ready_until_it_begins_it() -> None:
    metrics = Metrics()

    drawn(metrics, A, times(ready=10, started=12, ended=20))

    assert value(metrics, "gpu_idle_seconds_total", host=A) == 2
    assert value(metrics, "gpu_busy_seconds_total", host=A) == 8


def test_while_it_draws_another_picture_it_is_not_idle() -> None:
    metrics = Metrics()
    drawn(metrics, A, times(ready=0, started=0, ended=20))

    drawn(metrics, A, times(ready=5, started=21, ended=30))

    assert value(metrics, "gpu_idle_seconds_total", host=A) == 1


def test_while_nothing_waits_it_is_not_idle() -> None:
    metrics = Metrics()
    drawn(metrics, A, times(ready=0, started=0, ended=20))

    drawn(metrics, A, times(ready=1000, started=1000, ended=1010))

    assert value(metrics, "gpu_idle_seconds_total", host=A) == 0


def test_a_prompt_that_never_began_kept_no_host_busy() -> None:
    metrics = Metrics()

    metrics.prompt_ended(
        A, times(ready=0, started=None, ended=600), persona="lina", end="host_busy"
    )

    assert value(metrics, "gpu_busy_seconds_total", host=A) is None
    assert value(metrics, "host_prompts_total", host=A, end="host_busy") == 1


def test_busy_seconds_cost_by_the_price_of_their_host() -> None:
    prices = HostPrices(others=3600.0, by_host={B: 7200.0})
    metrics = Metrics(persona_name=lambda name: name, prices=prices)

    drawn(metrics, A, times(ready=0, started=0, ended=10))
    drawn(metrics, B, times(ready=0, started=0, ended=10))

    assert value(metrics, "picture_cost_total", persona="lina") == 30


def test_a_host_that_is_gone_has_no_series_and_comes_back_with_none() -> None:
    metrics = Metrics()
    for host in (A, B):
        drawn(metrics, host, times(ready=0, started=1, ended=2))
        metrics.gpus_told(host, (0.5,))

    metrics.keep_hosts([B])

    text = generate_latest(metrics.registry).decode()
    assert A not in text
    assert B in text
    assert list(metrics.gpu_utilisation) == [B]
