"""The one way to a chat: a picture comes first, and all else is told when there is room for it."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from imagegen.delivery.errors import FloodWait, ToldLater
from imagegen.delivery.message import PhotoMessage, SentMessage, TextMessage
from imagegen.delivery.pacing import Pacing
from imagegen.delivery.rate_limit import FloodControl
from imagegen.delivery.telegram import Telegram
from imagegen.metrics import Metrics

ResultT = TypeVar("ResultT")

# The part of Telegram's limits that texts and edits may use; the rest is kept for pictures.
_SHARE_OF_TEXTS = 0.5
_WHY_LATER = "a picture comes first, or Telegram's limits leave no room"


class ChatSender:
    """Sends pictures and texts of this worker, below Telegram's limits and outside of its pauses.

    A picture is sent once `wait_s` has reserved its place. A text or an edit is sent at once or raises
    ToldLater: there is no queue of texts, since a few seconds later there is something newer to tell.
    """

    def __init__(
        self,
        telegram: Telegram,
        flood_control: FloodControl,
        pacing: Pacing,
        metrics: Metrics | None = None,
    ) -> None:
        self._telegram = telegram
        self._metrics = metrics or Metrics()
        self._flood_control = flood_control
        self._pacing = pacing
        # By chat: how many pictures are on their way to it.
        self._pictures: Counter[int] = Counter()

    @contextmanager
    def picture_first(self, chat_id: int | None) -> Iterator[None]:
        """Hold back texts and edits of a chat while the block brings a picture to it.

        For None, no chat, nothing is held back.
        """
        if chat_id is None:
            yield
            return
        self._pictures[chat_id] += 1
        try:
            yield
        finally:
            self._pictures[chat_id] -= 1
            if not self._pictures[chat_id]:
                del self._pictures[chat_id]

    async def wait_s(self, chat_id: int, *, reserves: bool = False) -> float:
        """Return for how many seconds no picture may be sent to a chat; 0 if it may be sent now.

        With `reserves` one that may be sent now counts as sent, so that of many that have waited
        together no more go on than the limits allow. If it is not sent after all, others wait a
        little longer than they have to.
        """
        wait_s = max(await self._flood_control.wait_s(chat_id), self._pacing.wait_s(chat_id))
        # Without an await since the limits were read, or another picture could take the same place.
        if reserves and not wait_s:
            self._pacing.count(chat_id)
        return wait_s

    async def send_photo(self, photo: PhotoMessage) -> SentMessage:
        """Send a picture whose place `wait_s` has reserved, and raise as Telegram.send does.

        A flood wait pauses the chat.
        """
        sent = await self._noting_floods(photo.chat_id, self._telegram.send(photo))
        # Only now: one that is refused is tried in another form at once.
        for _ in photo.album:
            self._pacing.count(photo.chat_id)
        return sent

    async def send_text(self, text: TextMessage, *, is_end: bool = False) -> int:
        """Send a text, and return its message id; 0 for an ephemeral one, which has none.

        `is_end`: nothing newer will come, so it may use the limits as a picture does. Raises as
        Telegram.send_text does, and ToldLater.
        """
        return await self._tell(
            text.chat_id, lambda: self._telegram.send_text(text), share=_share(is_end=is_end)
        )

    async def edit_text(self, text: TextMessage, message_id: int, *, is_end: bool = False) -> None:
        """Replace a text of the bot. Raises as Telegram.edit_text does, and ToldLater."""
        await self._tell(
            text.chat_id,
            lambda: self._telegram.edit_text(text, message_id),
            share=_share(is_end=is_end),
        )

    async def show_preview(self, text: TextMessage, message_id: int, image: bytes) -> None:
        """Let a message show an image. Raises as Telegram.show_preview does, and ToldLater."""
        await self._tell(text.chat_id, lambda: self._telegram.show_preview(text, message_id, image))

    async def show_upload(self, chat_id: int, message_thread_id: int | None) -> None:
        """Show that a photo is sent. Raises as Telegram.show_upload does, and ToldLater."""
        await self._tell(
            chat_id,
            lambda: self._telegram.show_upload(chat_id, message_thread_id),
            share=None,
        )

    async def show_draft(self, text: TextMessage, draft_id: int) -> None:
        """Show a draft. Raises as Telegram.show_draft does, and ToldLater."""
        await self._tell(text.chat_id, lambda: self._telegram.show_draft(text, draft_id))

    async def delete(self, chat_id: int, message_id: int) -> bool:
        """Delete a message of the bot, also while a picture is on its way.

        Returns and raises as Telegram.delete does, and ToldLater.
        """
        return await self._tell(
            chat_id,
            lambda: self._telegram.delete(chat_id, message_id),
            share=None,
        )

    async def hide(self, chat_id: int, message_id: int, *, photo: bytes, caption: str) -> bool:
        """Put a harmless photo in the place of a message that is too old to be deleted.

        Returns and raises as Telegram.hide does, and ToldLater.
        """
        return await self._tell(
            chat_id,
            lambda: self._telegram.hide(chat_id, message_id, photo=photo, caption=caption),
        )

    async def _tell(
        self,
        chat_id: int,
        call: Callable[[], Awaitable[ResultT]],
        *,
        share: float | None = _SHARE_OF_TEXTS,
    ) -> ResultT:
        """Make a call now, within a share of the limits; None for one that they do not count."""
        if self._telegram.is_revoked or await self._flood_control.wait_s(chat_id):
            raise ToldLater(_WHY_LATER)
        if share is not None:
            if self._pictures[chat_id] or self._pacing.wait_s(chat_id, share=share):
                raise ToldLater(_WHY_LATER)
            self._pacing.count(chat_id)
        return await self._noting_floods(chat_id, call())

    async def _noting_floods(self, chat_id: int, call: Awaitable[ResultT]) -> ResultT:
        try:
            return await call
        except FloodWait as error:
            if error.retry_after_s is not None:
                self._metrics.flood_wait(error.retry_after_s)
                await self._flood_control.pause(chat_id, error.retry_after_s)
            raise


def _share(*, is_end: bool) -> float:
    return 1.0 if is_end else _SHARE_OF_TEXTS
