"""wait, status, cancel and vary by the request, its id, or its photo in the chat."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook import ChatFlowHook, NothingToVary, Request, SentPhoto, StoppedDraft
from chatflow_hook.drafts import draft_id
from chatflow_hook.handles import Handle
from chatflow_hook.tables import State
from tests.support import conversations
from tests.support.aged_rows import AgedData
from tests.support.patience import PATIENCE_S

PHOTO = SentPhoto(chat_id=1001, message_id=77)
NOBODYS: tuple[Handle, ...] = (
    UUID(int=9),
    str(UUID(int=10)),
    "no id at all",
    SentPhoto(chat_id=1001, message_id=78),
    SentPhoto(chat_id=1002, message_id=77),
    SentPhoto(chat_id=1001, message_id=2**70),
)
HANDLES: dict[str, Callable[[UUID], Handle]] = {
    "request": lambda id_: Request(id=id_, dialog_id=1, message_count=3),
    "id": lambda id_: id_,
    "text": str,
    "photo": lambda _: PHOTO,
}


@pytest.fixture
async def hook(database_url: str, redis_url: str) -> AsyncIterator[ChatFlowHook]:
    async with ChatFlowHook(
        conversations.hook_settings(database_url, redis_url), turn_timeout_s=PATIENCE_S
    ) as hook:
        yield hook


@pytest.fixture
def rows(engine: AsyncEngine, tmp_path: Path) -> AgedData:
    return AgedData(engine, tmp_path / "images")


async def delivered(rows: AgedData, *, days: float = 0) -> UUID:
    return await rows.row(
        State.DELIVERED,
        days=days,
        telegram_message_id=PHOTO.message_id,
        scene={"source": "template", "summary": "Lina: a park"},
    )


@pytest.mark.parametrize("name", HANDLES)
async def test_a_delivered_picture_is_found_by_each_handle(
    hook: ChatFlowHook, rows: AgedData, name: str
) -> None:
    handle = HANDLES[name](await delivered(rows))

    waited, now = await hook.wait(handle, timeout=PATIENCE_S), await hook.status(handle)

    assert (waited.state, waited.telegram_message_id) == ("delivered", PHOTO.message_id)
    assert waited.summary == "Lina: a park"
    assert now == waited
    assert not await hook.cancel(handle)
    assert isinstance(await hook.vary(handle), Request)


@pytest.mark.parametrize("name", ["request", "id", "text"])
async def test_an_open_request_is_cancelled_by_each_handle(
    hook: ChatFlowHook, rows: AgedData, name: str
) -> None:
    handle = HANDLES[name](await rows.row(State.QUEUED))

    assert (await hook.status(handle)).state == "queued"
    assert await hook.cancel(handle)
    assert (await hook.wait(handle, timeout=PATIENCE_S)).state == "cancelled"


@pytest.mark.parametrize("name", ["status message", "draft"])
async def test_who_waits_by_what_shows_the_progress_is_told_the_end(
    hook: ChatFlowHook, rows: AgedData, redis_url: str, name: str
) -> None:
    request_id = await rows.row(State.QUEUED, status_message_id=PHOTO.message_id)
    draft = StoppedDraft(chat_id=PHOTO.chat_id, draft_id=draft_id(request_id))
    handle = draft if name == "draft" else PHOTO
    waiting = asyncio.create_task(hook.wait(handle, timeout=PATIENCE_S))

    async with Redis.from_url(redis_url, db=4) as redis, asyncio.timeout(PATIENCE_S):
        while not await redis.pubsub_numpat():  # it has looked once, and listens
            pass
    await hook.cancel(request_id)

    assert (await waiting).state == "cancelled"


@pytest.mark.parametrize("handle", NOBODYS, ids=str)
async def test_a_handle_of_no_request_finds_none(
    hook: ChatFlowHook, rows: AgedData, handle: Handle
) -> None:
    await delivered(rows)

    for look in (hook.wait(handle, timeout=PATIENCE_S), hook.status(handle)):
        with pytest.raises(LookupError):
            await look
    with pytest.raises(NothingToVary):
        await hook.vary(handle)
    assert not await hook.cancel(handle)


async def test_the_newest_of_two_photos_with_the_same_number_is_meant(
    hook: ChatFlowHook, rows: AgedData
) -> None:
    for days, seed in ((0, 2), (1, 1)):
        await rows.row(State.DELIVERED, days=days, telegram_message_id=PHOTO.message_id, seed=seed)

    assert (await hook.status(PHOTO)).seed == 2


async def test_a_photo_is_looked_for_until_the_time_is_over(redis_url: str) -> None:
    settings = conversations.hook_settings("postgresql://nobody@127.0.0.1:9/none", redis_url)

    async with ChatFlowHook(settings) as hook:
        with pytest.raises(TimeoutError):
            await hook.wait(PHOTO, timeout=0.05)


if TYPE_CHECKING:  # misuse is what a type checker finds

    async def _misuse(hook: ChatFlowHook) -> None:
        await hook.wait(7, timeout=1)  # type: ignore[arg-type]
        await hook.status((1001, 77))  # type: ignore[arg-type]
        await hook.cancel(None)  # type: ignore[arg-type]
        await hook.vary(77)  # type: ignore[arg-type]
