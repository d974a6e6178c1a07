"""What hook and worker say to each other through Redis: names and JSON, ids only."""

import json
from typing import Any
from uuid import UUID

QUEUE = "arq:queue"
JOB = "make_image"


def dumps(value: dict[str, Any]) -> bytes:
    """Serialise an arq job as JSON: with pickle, who writes to Redis runs code in the worker."""
    return json.dumps(value, default=str).encode()


def loads(packed: bytes) -> dict[str, Any]:
    """Read what `dumps` wrote."""
    job: dict[str, Any] = json.loads(packed)
    return job


def ended(request_id: UUID) -> str:
    """Name the channel on which the end of a request is told."""
    return f"imagegen:ended:{request_id}"


def live(request_id: UUID) -> str:
    """Name the key that says what a request is doing right now."""
    return f"imagegen:live:{request_id}"
