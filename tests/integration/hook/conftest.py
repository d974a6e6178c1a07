"""A hook and the statements that it sends, for tests that count them."""

from collections.abc import AsyncIterator, Iterator

import pytest
from asyncpg.connection import LoggedQuery

from chatflow_hook import ChatFlowHook
from tests.support import conversations, database_activity
from tests.support.patience import PATIENCE_S


@pytest.fixture
async def hook(database_url: str, redis_url: str) -> AsyncIterator[ChatFlowHook]:
    """A hook whose pictures are due at the fifth message."""
    settings = conversations.hook_settings(
        database_url, redis_url, image_trigger_min=5, image_trigger_max=5
    )
    async with ChatFlowHook(settings, turn_timeout_s=PATIENCE_S) as hook:
        yield hook


@pytest.fixture
def queries() -> Iterator[list[LoggedQuery]]:
    with database_activity.noted_queries() as queries:
        yield queries
