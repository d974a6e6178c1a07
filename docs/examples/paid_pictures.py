"""Spends a paid picture when it was delivered, and tells the chat's model what was really sent."""

import asyncio
from contextlib import asynccontextmanager

from chatflow_hook import ChatFlowHook, RequestEnd
from sqlalchemy import text


def told(sessions):
    async def on_end(end: RequestEnd) -> None:
        if end.kind == "file":  # the original of a picture that was paid and noted
            return
        async with sessions.begin() as session:
            if not await is_new(session, end):  # the same end may be told twice
                return
            if end.picture.state == "delivered":
                if end.kind != "cover":
                    await spend_one(session, end.user_id)
                await note(session, end, f"[photo sent: {end.picture.summary or 'a picture'}]")
            else:
                await note(session, end, "[no photo was sent]")

    return on_end


async def is_new(session, end: RequestEnd) -> bool:
    query = text(
        "INSERT INTO picture_ends (request_id) VALUES (:id) ON CONFLICT DO NOTHING RETURNING 1"
    )
    return (await session.execute(query, {"id": end.request.id})).scalar() is not None


async def spend_one(session, user_id: int) -> None:
    query = text("UPDATE wallets SET pictures = pictures - 1 WHERE user_id = :id")
    await session.execute(query, {"id": user_id})


async def note(session, end: RequestEnd, words: str) -> None:
    query = text("INSERT INTO messages (dialog_id, role, content) VALUES (:id, 'system', :words)")
    await session.execute(query, {"id": end.request.dialog_id, "words": words})


@asynccontextmanager
async def told_of_ends(hook: ChatFlowHook, sessions):
    task = asyncio.create_task(hook.on_end(told(sessions)))
    try:
        yield
    finally:
        task.cancel()
