"""What Prometheus reads from a worker's /metrics, parsed by prometheus-client itself."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Scrape:
    """The answer to one scrape: its text, and the value of each sample by name and labels."""

    text: str
    values: Mapping[tuple[str, Labels], float]

    @property
    def metrics(self) -> set[str]:
        """The names of all metrics, with `_total` for counters, also of those without a series."""
        return {
            f"{family.name}_total" if family.type == "counter" else family.name
            for family in text_string_to_metric_families(self.text)
        }

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of a sample; None if there is none."""
        return self.values.get((name, frozenset(labels.items())))

    def labelled(self, name: str) -> dict[Labels, float]:
        """Return all samples of a name."""
        return {labels: value for (sample, labels), value in self.values.items() if sample == name}


async def scrape_started(port: int) -> Scrape:
    """Ask a worker that may still start, until it knows whether it is ready."""
    while True:
        with suppress(aiohttp.ClientConnectionError):
            page = await scrape(port)
            if page.value("imagegen_ready") is not None:
                return page
        await asyncio.sleep(0.02)


async def scrape(port: int) -> Scrape:
    """Ask a worker on this machine for its metrics."""
    url = f"http://127.0.0.1:{port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        text = await answer.text()
    values = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    return Scrape(text=text, values=values)
