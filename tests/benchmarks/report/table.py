"""The table that the benchmarks print: Markdown, so that the docs can quote it as it is."""

from collections.abc import Iterable, Sequence

from tests.benchmarks.report.figure import Figure

_HEAD = ("figure", "measured", "target", "ceiling", "verdict", "worker CPU", "sandbox CPU")


def text(figures: Iterable[Figure]) -> str:
    """Return the table, its columns aligned."""
    rows = [_HEAD, *(_cells(figure) for figure in figures)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(_HEAD))]
    rule = tuple("-" * width for width in widths)
    return "\n".join(_line(row, widths) for row in (rows[0], rule, *rows[1:]))


def _cells(figure: Figure) -> tuple[str, ...]:
    return (
        f"{figure.row}: {figure.name}",
        figure.measured,
        figure.target,
        figure.ceiling,
        figure.verdict,
        _cores(figure.worker_cpu),
        _cores(figure.sandbox_cpu),
    )


def _cores(cpu: float | None) -> str:
    return "" if cpu is None else f"{cpu:.0%}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return f"| {' | '.join(padded)} |"
