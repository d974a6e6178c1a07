"""What every command prints: tables in a terminal, plain lines into a pipe, or JSON.

A command makes a list of blocks, each a Table or a text. In a terminal rich draws them, and a wide
table wraps within its cells; elsewhere columns are padded with spaces, one row a line, so that
grep, cut and awk can read them.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

# How the words of a cell look in a terminal; all other cells are plain.
_STYLES = {
    **dict.fromkeys(("up", "active", "delivered", "ok"), "green"),
    **dict.fromkeys(("suspect", "draining", "drawing", "drawn", "delivering"), "yellow"),
    **dict.fromkeys(("down", "aside", "failed", "removed", "broken"), "red"),
}
_WATCH_EVERY_S = 2.0

watch_option = click.option(
    "--watch", "is_watched", is_flag=True, help="Show it anew every two seconds, until Ctrl-C."
)
json_option = click.option("--json", "is_json", is_flag=True, help="For programs.")


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of cells below a title and the names of their columns, both of which may be left out."""

    title: str | None = None
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]]

    def as_lines(self) -> list[str]:
        """Return one line a row, its columns padded with spaces."""
        lines = [*([self.columns] if self.columns else []), *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        padded = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
        return padded if self.title is None else [f"{self.title}:", *padded]


def as_text(blocks: "Sequence[Table | str]") -> str:
    """Return the blocks as plain text, an empty line between two of them."""
    return "\n\n".join(
        "\n".join(block.as_lines()) if isinstance(block, Table) else block for block in blocks
    )


def show(blocks: "Sequence[Table | str]") -> None:
    """Print the blocks to stdout: by rich in a terminal, else as plain text."""
    if sys.stdout.isatty():
        console = _console()
        console.print(_renderable(blocks))
    else:
        click.echo(as_text(blocks))


def show_json(value: Any, *, is_line: bool = False) -> None:
    """Print a value as JSON to stdout, indented, or as one line for a stream of values.

    What JSON has no form for, such as a UUID, is written as its text.
    """
    indent = None if is_line else 2
    click.echo(json.dumps(value, ensure_ascii=False, indent=indent, default=str))


def watch(read: "Callable[[], Sequence[Table | str]]", *, every_s: float = _WATCH_EVERY_S) -> None:
    """Show what `read` returns, again and again until Ctrl-C.

    In a terminal it stays in its place; elsewhere each state follows below the one before.
    """
    try:
        if sys.stdout.isatty():
            _watch_in_place(read, every_s)
        while True:
            click.echo(as_text(read()))
            click.echo()
            time.sleep(every_s)
    except KeyboardInterrupt:
        sys.exit(0)


def watch_json(read: Callable[[], Any], *, every_s: float = _WATCH_EVERY_S) -> None:
    """Print what `read` returns as one line of JSON, again and again until Ctrl-C."""
    try:
        while True:
            show_json(read(), is_line=True)
            time.sleep(every_s)
    except KeyboardInterrupt:
        sys.exit(0)


def _watch_in_place(read: "Callable[[], Sequence[Table | str]]", every_s: float) -> None:
    from rich.live import Live

    with Live(console=_console(), auto_refresh=False, screen=True) as live:
        while True:
            live.update(_renderable(read()), refresh=True)
            time.sleep(every_s)


def _console() -> Any:
    from rich.console import Console

    # Numbers, paths and brackets in what is shown are no markup.
    return Console(highlight=False, markup=False, emoji=False)


def _renderable(blocks: "Sequence[Table | str]") -> Any:
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = []
    for block in blocks:
        if parts:
            parts.append(Text())
        parts.append(_rich_table(block) if isinstance(block, Table) else Text(block))
    return Group(*parts)


def _rich_table(table: Table) -> Any:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(
        title=table.title,
        title_justify="left",
        box=box.SIMPLE_HEAD if table.columns else None,
        show_header=bool(table.columns),
        header_style="bold",
        pad_edge=False,
    )
    # What is not wide enough wraps, also within a word; the name at the beginning stays whole.
    for place in range(max(map(len, (table.columns, *table.rows)), default=0)):
        name = table.columns[place] if table.columns else ""
        drawn.add_column(name, overflow="fold", no_wrap=place == 0 and bool(table.columns))
    for row in table.rows:
        drawn.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    return drawn
