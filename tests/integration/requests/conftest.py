"""One request of Anna's private chat, and what reads and writes it."""

from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.tables import ImageRequest
from imagegen.requests.repository import RequestRepository
from tests.support import conversations
from tests.support.aged_rows import SAID
from tests.support.conversations import Sessions

ANNA, MESSAGE_COUNT = 1001, 3


@pytest.fixture
def requests(engine: AsyncEngine) -> RequestRepository:
    return RequestRepository(engine)


@pytest.fixture
async def request_id(sessions: Sessions) -> UUID:
    """Add a request that is due in a dialog of three messages, and return its id."""
    await conversations.put_dialog(sessions, message_count=MESSAGE_COUNT)
    row = ImageRequest(
        id=UUID(int=1),
        kind="automatic",
        dialog_id=1,
        user_id=ANNA,
        chat_id=ANNA,
        persona="lina",
        message_count=MESSAGE_COUNT,
        conversation=SAID,
    )
    async with sessions.begin() as session:
        session.add(row)
    return row.id
