"""How commands print: padded lines for programs, rich's tables for people in a terminal."""

import asyncio
import os
import pty
import sys
from pathlib import Path

from imagegen.cli.output import Table, as_text
from tests.support import fork_server

TABLE = Table(columns=("host", "state"), rows=[("gpu-1:8188", "up"), ("a:1", "down")])
SHOW = """
from imagegen.cli.output import Table, show
show([Table(columns=("host", "state"), rows=[("[b]gpu[/b]-1:8188", "up")]), "1 of 1 [up]"])
"""
WIDE = """
from imagegen.cli.output import Table, show
columns = ("host", "state", "version", "memory", "use")
show([Table(columns=columns, rows=[("127.0.0.1:28188", *4 * ("abcdefghijklmnopqrst",))])])
"""


def test_columns_are_padded_and_blocks_are_parted_by_an_empty_line() -> None:
    text = as_text([TABLE, "1 of 2"])

    assert text == "host        state\ngpu-1:8188  up\na:1         down\n\n1 of 2"


def test_a_table_without_columns_or_rows_has_only_its_title() -> None:
    assert Table(title="sends", rows=[]).as_lines() == ["sends:"]
    assert Table(rows=[("a", "1"), ("bc", "")]).as_lines() == ["a   1", "bc"]


async def test_a_terminal_gets_a_table_with_colours_and_a_pipe_the_plain_lines(
    tmp_path: Path,
) -> None:
    plain = tmp_path / "plain"

    shown = await _in_terminal(TERM="xterm-256color")
    without_colours = await _in_terminal(TERM="xterm-256color", NO_COLOR="1")
    with plain.open("wb") as output:
        process = fork_server.shared().start(
            [sys.executable, "-c", SHOW],
            env={"PATH": os.environ["PATH"]},
            cwd=tmp_path,
            stdout=output.fileno(),
            stderr=output.fileno(),
        )
        await asyncio.to_thread(process.wait, 30)

    assert plain.read_text() == "host               state\n[b]gpu[/b]-1:8188  up\n\n1 of 1 [up]\n"
    assert "\x1b[32mup" in shown
    assert "─" in shown
    assert "[b]gpu[/b]-1:8188" in shown, "what is shown is no markup"
    assert "1 of 1 [up]" in shown
    assert "\x1b[32m" not in without_colours


async def test_in_a_narrow_terminal_names_stay_whole_and_nothing_is_cut_off() -> None:
    shown = await _in_terminal(script=WIDE, TERM="xterm-256color", COLUMNS="50")

    cells = [line.split() for line in shown.splitlines() if line.split()]
    last = "".join(line[-1] for line in cells)
    assert "127.0.0.1:28188" in {line[0] for line in cells}
    assert "…" not in shown
    assert "abcdefghijklmnopqrst" in last


async def _in_terminal(script: str = SHOW, **variables: str) -> str:
    """Return what the script writes to a terminal of its own."""
    ours, theirs = pty.openpty()
    process = fork_server.shared().start(
        [sys.executable, "-c", script],
        env={"PATH": os.environ["PATH"], **variables},
        cwd=Path.cwd(),
        stdout=theirs,
        stderr=theirs,
    )
    await asyncio.to_thread(process.wait, 30)
    os.set_blocking(ours, False)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    os.close(theirs)
    return shown
