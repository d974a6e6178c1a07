"""Rows as a version of next year would write them: of a kind and in states that nobody knows yet."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import text

from chatflow_hook import Request
from chatflow_hook.tables import Dialog, ImageRequest, State
from tests.support.conversations import Sessions

KIND = "sticker"
OPEN_STATE = "upscaling"
FINAL_STATE = "archived"


async def row(sessions: Sessions, *, is_ended: bool = False, **values: Any) -> Request:
    """Insert a request of dialog 1 at its third message; its kind and its state may be any."""
    request = Request(id=uuid4(), dialog_id=1, message_count=3)
    usual: dict[str, Any] = {
        "id": request.id,
        "kind": "automatic",
        "state": State.QUEUED,
        "dialog_id": request.dialog_id,
        "user_id": 1001,
        "chat_id": 1001,
        "persona": "lina",
        "message_count": request.message_count,
        "conversation": {"text": "hello"},
        "finished_at": datetime.now(UTC) if is_ended else None,
    }
    async with sessions.begin() as session:
        for column in ("kind", "state"):
            constraint = f"ck_image_requests_{column}"
            await session.execute(
                text(f"ALTER TABLE image_requests DROP CONSTRAINT IF EXISTS {constraint}")
            )
        await session.merge(Dialog(id=request.dialog_id, message_count=request.message_count))
        session.add(ImageRequest(**(usual | values)))
    return request
