"""Options that several commands share."""

from collections.abc import Callable
from typing import Any

import click


def timeout_option(
    help_text: str, *, default_s: float = 5.0
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the decorator of `--timeout SECONDS`, which gives the command `timeout_s`."""
    return click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(min=0, min_open=True),
        default=default_s,
        show_default=True,
        metavar="SECONDS",
        help=help_text,
    )
