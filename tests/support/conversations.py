"""Conversations for tests: turns of one dialog, and its rows in the database."""

from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from chatflow_hook import Request, Turn
from chatflow_hook.settings import HookSettings
from chatflow_hook.tables import Dialog, ImageRequest, State

Sessions = async_sessionmaker[AsyncSession]


def sessions_of(engine: AsyncEngine) -> Sessions:
    """Make sessions such as a bot has; their rows can be read after the commit."""
    return async_sessionmaker(engine, expire_on_commit=False)


def turn(dialog_id: int = 1, text: str = "hello", **changes: Any) -> Turn:
    """Make a turn of a private chat with lina."""
    usual: dict[str, Any] = {
        "dialog_id": dialog_id,
        "user_id": 1000 + dialog_id,
        "chat_id": 1000 + dialog_id,
        "persona": "lina",
        "text": text,
    }
    return Turn.model_validate(usual | changes)


def hook_settings(database_url: str, redis_url: str, **changes: Any) -> HookSettings:
    """Make settings that read no `.env`; a picture is due at every third message."""
    usual: dict[str, Any] = {
        "database_url": database_url,
        "redis_url": redis_url,
        "image_trigger_min": 3,
        "image_trigger_max": 3,
    }
    return HookSettings(_env_file=None, **(usual | changes))


async def row(sessions: Sessions, request_id: UUID) -> ImageRequest:
    async with sessions() as session:
        return (
            await session.execute(select(ImageRequest).where(ImageRequest.id == request_id))
        ).scalar_one()


def columns(found: ImageRequest) -> dict[str, object]:
    """Return all that a row holds."""
    return {column.name: getattr(found, column.name) for column in ImageRequest.__table__.columns}


async def dialog(sessions: Sessions, dialog_id: int = 1) -> Dialog:
    async with sessions() as session:
        return (await session.execute(select(Dialog).where(Dialog.id == dialog_id))).scalar_one()


async def requests_of(sessions: Sessions, dialog_id: int = 1) -> list[ImageRequest]:
    async with sessions() as session:
        found = await session.execute(
            select(ImageRequest)
            .where(ImageRequest.dialog_id == dialog_id)
            .order_by(ImageRequest.created_at)
        )
        return list(found.scalars())


async def end(sessions: Sessions, request: Request, state: State) -> None:
    """End a request as the worker would, without the worker."""
    async with sessions.begin() as session:
        await session.execute(
            update(ImageRequest)
            .where(ImageRequest.id == request.id)
            .values(state=state, finished_at=func.clock_timestamp())
        )
        if state is State.DELIVERED:
            await session.execute(
                update(Dialog)
                .where(Dialog.id == request.dialog_id)
                .values(last_image_generation_at=request.message_count)
            )


async def put_dialog(sessions: Sessions, dialog_id: int = 1, **values: Any) -> None:
    async with sessions.begin() as session:
        await session.execute(insert(Dialog).values(id=dialog_id, **values))
