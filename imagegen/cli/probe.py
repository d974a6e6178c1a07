"""`imagegen probe`: ask the worker on this machine for /healthz or /readyz, for health checks."""

import http.client
from contextlib import closing
from dataclasses import dataclass

import click

from chatflow_hook.settings import BadSetting, read
from imagegen.cli.exits import exit_with
from imagegen.cli.options import timeout_option

# Addresses to listen on all interfaces; such a worker is asked over loopback.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (nothing is bound here)


@click.command()
@click.option(
    "--ready", is_flag=True, help="Whether it can make pictures, not only whether it lives."
)
@timeout_option("How long it may take to answer.")
def probe(*, ready: bool, timeout_s: float) -> None:
    """Ask the worker at WEB_HOST and WEB_PORT how it is.

    Ends with 1 if it does not answer, or is not ready.
    """
    from imagegen.settings import WebSettings

    try:
        settings = read(WebSettings)
    except BadSetting as error:
        exit_with(str(error), code=2)
    path = "/readyz" if ready else "/healthz"
    answer = ask_worker(settings.web_host, settings.web_port, path, timeout_s=timeout_s)
    if not answer.is_good:
        exit_with(answer.text, code=1)
    click.echo(answer.text)


@dataclass(frozen=True, kw_only=True)
class ProbeAnswer:
    """The worker's answer as one line; `is_good` if it came with status 200."""

    is_good: bool
    text: str


def ask_worker(host: str, port: int, path: str, *, timeout_s: float) -> ProbeAnswer:
    """Send GET `path` to the worker and return its answer; it raises nothing.

    A worker that cannot be reached, and port 0, which serves nothing, are answers that are not good.
    """
    if not port:
        return ProbeAnswer(
            is_good=False, text="WEB_PORT is 0, so no worker tells how it is: set it to a port"
        )
    try:
        with closing(
            http.client.HTTPConnection(_LOOPBACK.get(host, host), port, timeout=timeout_s)
        ) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            text = response.read(10_000).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return ProbeAnswer(
            is_good=False,
            text=f"no worker answers on {host}, port {port}: {error}: is it running, with this"
            " WEB_HOST and WEB_PORT?",
        )
    is_good = response.status == 200
    if not is_good and not text:
        text = f"what answers on {host}, port {port}, is no worker: look at WEB_PORT"
    return ProbeAnswer(is_good=is_good, text=text)
