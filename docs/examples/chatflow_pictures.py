"""Pictures of ChatFlow's dialogs: becomes services/bot/api/app/services/pictures.py there."""

import asyncio
from contextlib import asynccontextmanager

from chatflow_hook import ChatFlowHook, Turn
from shared.database import AsyncSessionLocal, Message, get_images_remaining, use_image_quota
from sqlalchemy import select

hook = ChatFlowHook.from_env()


async def commit_with_picture(db, dialog, user, persona, *, text, reply, history):
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
    )
    request = await hook.on_turn(turn, db)
    is_unpaid = request is not None and not (await get_images_remaining(db, user.id)).can_generate
    await db.commit()
    if is_unpaid:
        await hook.cancel(request)
    else:
        await hook.enqueue(request)
    return is_unpaid


async def on_end(end):
    """Spend one of the user's pictures when it was delivered, and note it for the chat's model."""
    if end.picture.state != "delivered" or end.kind == "cover":
        return
    request_id = str(end.request.id)
    its_note = select(Message.id).where(
        Message.dialog_id == end.request.dialog_id,
        Message.extra_data["picture"].as_string() == request_id,
    )
    async with AsyncSessionLocal.begin() as db:
        if await db.scalar(its_note) is not None:  # the same end may be told twice
            return
        await use_image_quota(db, end.user_id)
        note = f"[photo sent: {end.picture.summary or 'a picture'}]"
        extra_data = {"picture": request_id}
        dialog_id = end.request.dialog_id
        db.add(Message(dialog_id=dialog_id, role="system", content=note, extra_data=extra_data))


@asynccontextmanager
async def told_of_ends():
    """Spend and note pictures while the block runs."""
    async with hook:
        task = asyncio.create_task(hook.on_end(on_end))
        yield
        task.cancel()
