"""Pictures of ChatFlow's dialogs: becomes services/bot/api/app/services/pictures.py there."""

import asyncio
from contextlib import asynccontextmanager

from chatflow_hook import ChatFlowHook, Turn
from shared.database import (
    AsyncSessionLocal,
    ImageBalance,
    Message,
    get_images_remaining,
    use_image_quota,
)
from shared.utils import redis_client
from sqlalchemy import select

hook = ChatFlowHook.from_env()


async def commit_with_picture(db, dialog, user, persona, *, text, reply, history, is_refresh):
    """Commit the turn; return whether a picture was due that the user has no quota for."""
    turn = Turn(
        dialog_id=dialog.id,
        user_id=user.id,
        chat_id=user.id,
        chat_type="private",
        persona=persona.key,
        text=text,
        reply=reply,
        history=[{"role": message.role, "content": message.content} for message in history],
        language=user.language_code,
        message_count=dialog.message_count,
        counts_both_roles=True,
        is_refresh=is_refresh,
    )
    quota = await get_images_remaining(db, user.id)
    request = await hook.on_turn(turn, db)
    await db.commit()
    if request is not None and not quota.can_generate:
        await hook.cancel(request)
        return True
    await hook.enqueue(request)
    return False


async def on_end(end):
    """Spend one of the user's pictures when it was delivered, and note it for the chat's model."""
    if end.picture.state != "delivered" or end.kind in ("cover", "file"):
        return
    dialog_id = end.request.dialog_id
    extra_data = {"picture": str(end.request.id), "image_url": end.picture.url}
    its_note = select(Message.id).where(
        Message.dialog_id == dialog_id,
        Message.extra_data["picture"].as_string() == extra_data["picture"],
    )
    balance = select(ImageBalance).where(ImageBalance.user_id == end.user_id)
    await redis_client.delete(f"user:{end.user_id}:no_quota_since")
    async with AsyncSessionLocal.begin() as db:
        await db.execute(balance.with_for_update())  # one end of a user at a time
        if await db.scalar(its_note) is not None:  # the same end may be told twice
            return
        await use_image_quota(db, end.user_id)
        note = f"[photo sent: {end.picture.summary or 'a picture'}]"
        db.add(Message(dialog_id=dialog_id, role="system", content=note, extra_data=extra_data))


@asynccontextmanager
async def told_of_ends():
    """Spend and note pictures while the block runs."""
    async with hook:
        task = asyncio.create_task(hook.on_end(on_end))
        try:
            yield
        finally:
            task.cancel()
