"""What `wait` returns of a picture in each state of its request."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook import ChatFlowHook, Request
from chatflow_hook.tables import State
from tests.support import conversations
from tests.support.aged_rows import AgedData
from tests.support.product import PATIENCE_S

ANN, GROUP = 1001, -1001234567890
URL = "https://pictures.example/aa/aa.png"


@pytest.fixture
async def hook(database_url: str, redis_url: str) -> AsyncIterator[ChatFlowHook]:
    async with ChatFlowHook(
        conversations.hook_settings(database_url, redis_url), turn_timeout_s=PATIENCE_S
    ) as hook:
        yield hook


@pytest.mark.parametrize("state", State)
async def test_the_address_of_a_picture_is_told_once_it_is_delivered(
    hook: ChatFlowHook, engine: AsyncEngine, tmp_path: Path, state: State
) -> None:
    aged_data = AgedData(engine, tmp_path / "images")

    url = await _url(hook, aged_data, state, drawn_rating="safe")

    assert url == (URL if state is State.DELIVERED else None)


@pytest.mark.parametrize(
    ("rating", "chat_id", "is_confirmed", "is_told"),
    [
        ("safe", ANN, False, True),
        ("safe", GROUP, False, True),
        ("safe", None, False, True),
        ("suggestive", ANN, True, True),
        ("suggestive", ANN, False, False),
        ("suggestive", GROUP, True, False),
        ("suggestive", None, True, False),
        ("explicit", ANN, True, True),
        ("explicit", ANN, False, False),
        ("a newer rating", ANN, False, False),
        (None, ANN, False, False),
    ],
)
async def test_the_address_of_a_picture_above_safe_is_told_while_the_age_is_confirmed(
    hook: ChatFlowHook,
    engine: AsyncEngine,
    tmp_path: Path,
    rating: str | None,
    chat_id: int | None,
    *,
    is_confirmed: bool,
    is_told: bool,
) -> None:
    aged_data = AgedData(engine, tmp_path / "images")
    await hook.confirm_age(ANN)
    if not is_confirmed:
        await hook.revoke_age(ANN)

    url = await _url(hook, aged_data, State.DELIVERED, drawn_rating=rating, chat_id=chat_id)

    assert url == (URL if is_told else None)


async def test_a_confirmation_of_another_text_gives_no_address(
    hook: ChatFlowHook, engine: AsyncEngine, tmp_path: Path, database_url: str, redis_url: str
) -> None:
    aged_data = AgedData(engine, tmp_path / "images")
    settings = conversations.hook_settings(database_url, redis_url, age_text_version="0")
    async with ChatFlowHook(settings, turn_timeout_s=PATIENCE_S) as hook_of_before:
        await hook_of_before.confirm_age(ANN)

    assert await _url(hook, aged_data, State.DELIVERED, drawn_rating="suggestive") is None


async def _url(hook: ChatFlowHook, aged_data: AgedData, state: State, **values: Any) -> str | None:
    request_id = await aged_data.row(state, image="aa.png", image_url=URL, **values)
    request = Request(id=request_id, dialog_id=1, message_count=3)
    return (await hook.wait(request, timeout=0)).url
