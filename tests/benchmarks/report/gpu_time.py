"""Busy seconds of GPUs, from the hosts' own records; pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Span:
    """A time with a prompt on a GPU; in seconds as time.time() counts."""

    began: float
    ended: float


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """What one GPU did."""

    host: str
    spans: Sequence[Span]
    outages: Sequence[Span] = ()


def timelines(record: Mapping[str, Any]) -> list[Timeline]:
    """Read the timelines out of the record of a fleet."""
    return [
        Timeline(
            host=host["host"],
            spans=[
                Span(began=each["began"], ended=each["began"] + each["seconds"])
                for each in host["drawings"]
            ],
            outages=[
                Span(began=each["began"], ended=each["ended"] or float("inf"))
                for each in host["outages"]
            ],
        )
        for host in record["hosts"]
    ]


def busy_s(spans: Iterable[Span], began: float, ended: float) -> float:
    """Add up the seconds within a window, each moment counted once."""
    total, counted = 0.0, began
    for span in sorted(spans, key=lambda span: span.began):
        start, end = max(span.began, counted), min(span.ended, ended)
        total += max(0.0, end - start)
        counted = max(counted, end)
    return total


def window(lines: Iterable[Timeline]) -> tuple[float, float]:
    """Return the first start and the last end on any GPU. Raises ValueError if none drew."""
    spans = [span for line in lines for span in line.spans]
    return min(span.began for span in spans), max(span.ended for span in spans)


def while_all_draw(lines: Sequence[Timeline]) -> tuple[float, float]:
    """Return the time after the ramp, while there was work for all: until a GPU drew its last.

    Where there was no such time, since a GPU came too late or never, it is the whole run.
    """
    drawn = [line.spans for line in lines]
    if all(drawn):
        began = max(min(span.began for span in spans) for spans in drawn)
        ended = min(max(span.ended for span in spans) for spans in drawn)
        if began < ended:
            return began, ended
    return window(lines)


def saturation(lines: Sequence[Timeline], between: tuple[float, float] | None = None) -> float:
    """Return busy seconds / (GPUs × wall), between first start and last end by default."""
    began, ended = between or window(lines)
    busy = sum(busy_s(line.spans, began, ended) for line in lines)
    return busy / (len(lines) * (ended - began))
