"""A status message that the chat of a request has already, as an earlier job left it."""

from typing import Any

from sqlalchemy import update

from chatflow_hook.tables import ImageRequest
from imagegen.delivery.message import TextMessage
from imagegen.delivery.telegram import Telegram
from tests.support.product import RunningProduct


async def put_status(product: RunningProduct, *, chat_id: int, **values: Any) -> int:
    """Send the status message of the only request, as an earlier job does; return its id."""
    telegram = product.telegram
    async with Telegram(token=telegram.token, api_url=telegram.url, timeout_s=5) as connection:
        message_id = await connection.send_text(TextMessage(chat_id=chat_id, text="Drawing…"))
    async with product.sessions.begin() as session:
        changed = {"status_message_id": message_id, **values}
        await session.execute(update(ImageRequest).values(changed))
    return message_id
