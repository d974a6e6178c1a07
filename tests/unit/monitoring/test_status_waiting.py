"""Why a request waits, as the status page says it."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from imagegen.monitoring.status.status_queries import OpenRequest
from imagegen.monitoring.status.waiting import Circumstances, why_waits
from imagegen.requests.pauses import Pause, PauseScope

NOW = datetime(2026, 11, 29, tzinfo=UTC)
ID = UUID(int=7)


def request(**changes: Any) -> OpenRequest:
    usual: dict[str, Any] = {
        "id": ID,
        "kind": "automatic",
        "state": "queued",
        "persona": "lina",
        "host": None,
        "queued_at": NOW,
        "updated_at": NOW,
        "crashes": 0,
        "is_claimed": False,
        "waits_for_slot": False,
    }
    return OpenRequest(**(usual | changes))


def around(**changes: Any) -> Circumstances:
    usual: dict[str, Any] = {
        "pauses": (),
        "conditions": {"gpu-1": "up", "gpu-2": "down"},
        "workers": 1,
        "reasons": {},
    }
    return Circumstances(**(usual | changes))


def paused(scope: PauseScope, name: str) -> dict[str, Any]:
    return {"pauses": [Pause(scope=scope, name=name, paused_at=NOW)]}


WAITS = {"is_claimed": True, "waits_for_slot": True}


@pytest.mark.parametrize(
    ("of_request", "of_others", "why"),
    [
        ({}, {}, "waits in the queue for a worker"),
        ({}, {"workers": 0}, "no worker runs"),
        ({}, paused(PauseScope.PERSONA, "lina"), "the persona lina is paused"),
        ({}, paused(PauseScope.KIND, "automatic"), "the kind automatic is paused"),
        ({}, paused(PauseScope.KIND, "asked"), "waits in the queue for a worker"),
        ({"state": "drawn"}, paused(PauseScope.PERSONA, "lina"), "is drawn, and is sent next"),
        ({"state": "drawn", "is_claimed": True}, {}, "is drawn, and is sent now"),
        ({"state": "delivering", "is_claimed": True}, {}, "is being sent"),
        ({"is_claimed": True}, {}, "its prompt is being written"),
        (WAITS, {}, "waits for a free slot on a host"),
        (WAITS, {"conditions": {"gpu-1": "down"}}, "waits for a host: none is up"),
        ({}, {"reasons": {str(ID): "Telegram asks to wait"}}, "Telegram asks to wait"),
        ({"crashes": 2}, {}, "its worker died 2 times; another worker takes it up"),
    ],
)
def test_the_nearest_reason_is_told(
    of_request: dict[str, Any], of_others: dict[str, Any], why: str
) -> None:
    assert why_waits(request(**of_request), around(**of_others)) == why
