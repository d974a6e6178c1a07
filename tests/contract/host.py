"""The host under test: a sandbox, or the real server that the environment names."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

import pytest

from imagegen.comfy.address import HostAddress

SANDBOX_PATIENCE_S = 10.0
# Others may use a real server: their prompts run before ours.
_PATIENCE_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Host:
    """Where a host is, what it wants to see, and how long one event may take."""

    address: HostAddress
    # Not shown: pytest prints the arguments of a failed test.
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    patience_s: float = SANDBOX_PATIENCE_S
    is_sandbox: bool = True

    def give_up(self, reason: str) -> NoReturn:
        """Skip a test that this server gives no occasion for; a sandbox has no excuse."""
        if self.is_sandbox:
            pytest.fail(f"{self.address.name}: {reason}")
        pytest.skip(f"{self.address.name}: {reason}")


def named(environ: Mapping[str, str]) -> Host | None:
    """Read the real server that the environment names, if any. Raises ValueError."""
    if not environ.get("COMFYUI_URL"):
        return None
    return Host(
        address=HostAddress.parse(environ["COMFYUI_URL"]),
        headers=_headers(environ),
        patience_s=float(environ.get("COMFYUI_PATIENCE") or _PATIENCE_S),
        is_sandbox=False,
    )


def _headers(environ: Mapping[str, str]) -> dict[str, str]:
    headers: dict[str, str] = json.loads(environ.get("COMFYUI_HEADERS") or "{}")
    if token := environ.get("COMFYUI_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    return headers
