"""The host under test: a sandbox, or the real server that the environment names."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn, TypeVar

import pytest

from imagegen.comfy.address import HostAddress

SANDBOX_PATIENCE_S = 10.0
# A real server may have other users, whose prompts run before ours.
_PATIENCE_S = 120.0
_MAX_PATIENCE_S = 86_400

_Read = TypeVar("_Read")


@dataclass(frozen=True, kw_only=True)
class Host:
    """A host's address and headers, and how long one event may take."""

    address: HostAddress
    # Not in repr(): pytest prints the arguments of a failed test.
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    patience_s: float = SANDBOX_PATIENCE_S
    is_sandbox: bool = True

    def skip(self, reason: str) -> NoReturn:
        """Skip a test that this server gives no occasion for; on a sandbox that is a failure."""
        if self.is_sandbox:
            pytest.fail(f"{self.address.name}: {reason}")
        pytest.skip(f"{self.address.name}: {reason}")


def host_from_environment(environ: Mapping[str, str]) -> Host | None:
    """Read the real server from the environment; None if COMFYUI_URL is not set.

    Raises:
        ValueError: a variable is invalid; the sentence names the variable and no secret in it.
    """
    if not environ.get("COMFYUI_URL"):
        return None
    return Host(
        address=_read(environ, "COMFYUI_URL", HostAddress.parse),
        headers=_headers(environ),
        patience_s=_read(environ, "COMFYUI_PATIENCE", _seconds),
        is_sandbox=False,
    )


def _read(environ: Mapping[str, str], name: str, parse: Callable[[str], _Read]) -> _Read:
    try:
        return parse(environ.get(name, ""))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _seconds(text: str) -> float:
    seconds = float(text or _PATIENCE_S)
    if not 0 < seconds < _MAX_PATIENCE_S:
        raise ValueError(f"must be a number of seconds above 0 and below {_MAX_PATIENCE_S}")
    return seconds


def _headers(environ: Mapping[str, str]) -> dict[str, str]:
    headers = _read(environ, "COMFYUI_HEADERS", _names_and_values)
    if token := environ.get("COMFYUI_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    return headers


def _names_and_values(text: str) -> dict[str, str]:
    headers = json.loads(text or "{}")
    if not isinstance(headers, dict) or not all(isinstance(each, str) for each in headers.values()):
        raise ValueError('must be JSON such as {"X-Key": "secret"}')
    return headers
