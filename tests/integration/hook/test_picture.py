"""What `wait` returns of a picture in each state of its request."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook import ChatFlowHook, Request
from chatflow_hook.tables import State
from tests.support import conversations
from tests.support.aged_rows import AgedData
from tests.support.product import PATIENCE_S

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
    request_id = await aged_data.row(state, image="aa.png", image_url=URL)

    picture = await hook.wait(Request(id=request_id, dialog_id=1, message_count=3), timeout=0)

    assert picture.url == (URL if state is State.DELIVERED else None)
