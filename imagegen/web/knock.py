"""Knock: asks the worker on this machine how it is, as a container's health check does."""

import http.client
from contextlib import closing
from dataclasses import dataclass

_NO_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (whoever listens everywhere is here)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was heard, as one line, and whether it is good news."""

    is_good: bool
    said: str


def knock(host: str, port: int, path: str, *, timeout_s: float) -> Answer:
    """Ask for `path` and wait for the answer; nobody there is an answer too."""
    if not port:
        return Answer(is_good=False, said="WEB_PORT is 0, so no worker tells how it is")
    try:
        with closing(
            http.client.HTTPConnection(_NO_HOST.get(host, host), port, timeout=timeout_s)
        ) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            said = answer.read(10_000).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return Answer(is_good=False, said=f"no worker answers on {host}, port {port}: {error}")
    return Answer(is_good=answer.status == 200, said=said)
