"""`imagegen probe`: asks the worker on this machine how it is, as a container's health check does."""

import http.client
import sys
from contextlib import closing
from dataclasses import dataclass

import click

from chatflow_hook.settings import BadSetting, read

_NO_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (whoever listens everywhere is here)


@click.command()
@click.option(
    "--ready", is_flag=True, help="Whether it can make pictures, not only whether it lives."
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long it may take to answer.",
)
def probe(*, ready: bool, timeout_s: float) -> None:
    """Ask the worker at WEB_HOST and WEB_PORT how it is.

    Ends with 1 if it does not answer, or is not ready.
    """
    from imagegen.settings import WebSettings

    try:
        chosen = read(WebSettings)
    except BadSetting as error:
        click.echo(f"imagegen: {error}", err=True)
        sys.exit(2)
    path = "/readyz" if ready else "/healthz"
    answer = ask_worker(chosen.web_host, chosen.web_port, path, timeout_s=timeout_s)
    click.echo(answer.said, err=not answer.is_good)
    sys.exit(0 if answer.is_good else 1)


@dataclass(frozen=True, kw_only=True)
class ProbeAnswer:
    """What was heard, as one line, and whether it is good news."""

    is_good: bool
    said: str


def ask_worker(host: str, port: int, path: str, *, timeout_s: float) -> ProbeAnswer:
    """Ask for `path` and wait for the answer; nobody there is an answer too."""
    if not port:
        return ProbeAnswer(is_good=False, said="WEB_PORT is 0, so no worker tells how it is")
    try:
        with closing(
            http.client.HTTPConnection(_NO_HOST.get(host, host), port, timeout=timeout_s)
        ) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            said = answer.read(10_000).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return ProbeAnswer(is_good=False, said=f"no worker answers on {host}, port {port}: {error}")
    return ProbeAnswer(is_good=answer.status == 200, said=said)
