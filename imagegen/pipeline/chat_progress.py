"""What a chat sees while its picture is made: a chat action, a status message, or a draft.

It is told beside the job: whatever goes wrong here is logged, and the picture goes on.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Literal

import structlog

from chatflow_hook.drafts import cancel_data, draft_id
from chatflow_hook.messages import Messages
from chatflow_hook.turn import Rating
from imagegen import periodic
from imagegen.comfy.preview import Preview
from imagegen.delivery.ai_mark import caption_line
from imagegen.delivery.chat_sender import ChatSender
from imagegen.delivery.errors import (
    ChatGone,
    DraftRefused,
    MessageGone,
    OutcomeUnknown,
    ToldLater,
)
from imagegen.delivery.message import AiMark, MessageButton, TextMessage
from imagegen.delivery.photo_encoding import preview_photo
from imagegen.delivery.status_text import Stage, status_text
from imagegen.errors import ImagegenError, Rejected
from imagegen.pool.scheduler import QueuePlace
from imagegen.requests.claim import ClaimedRequest, ClaimLost, ClaimState, StatusMessage
from imagegen.requests.repository import RequestRepository
from imagegen.safety import image_screen
from imagegen.safety.image_screen import ImageScreen

log = structlog.get_logger(__name__)

ProgressMode = Literal["action", "message", "draft", "off"]

# How long a job waits for a status message that is on its way when the picture is drawn.
_FINISH_WITHIN_S = 6.0


@dataclass(frozen=True, kw_only=True)
class ProgressSettings:
    """DELIVERY_PROGRESS, DELIVERY_PREVIEW, PROTECT_CONTENT and DELIVERY_AI_MARK."""

    mode: ProgressMode = "action"
    shows_previews: bool = False
    protects_content: bool = False
    ai_mark: AiMark = AiMark.OFF


@dataclass(frozen=True, kw_only=True)
class ProgressTimes:
    """The times of telling progress, in seconds.

    Nothing is told of a picture that is there within `first_s`. A status is edited every `edit_s`
    at most, a chat action is renewed within its 5 s, and a draft within its 30 s.
    """

    first_s: float = 1.0
    edit_s: float = 3.0
    action_s: float = 4.0
    renew_draft_s: float = 20.0


class ChatProgress:
    """Tells chats how far their pictures are; one object for all jobs of a worker."""

    def __init__(  # noqa: PLR0913 (what it tells with, the last two by name)
        self,
        sender: ChatSender,
        requests: RequestRepository,
        words: Messages,
        settings: ProgressSettings,
        *,
        preview_screen: ImageScreen | None = None,
        times: ProgressTimes | None = None,
    ) -> None:
        self.sender = sender
        self.requests = requests
        self.words = words
        self.settings = settings
        self.preview_screen = preview_screen
        self.times = times or ProgressTimes()

    @asynccontextmanager
    async def showing(self, request: ClaimedRequest) -> AsyncIterator["RequestProgress"]:
        """Tell the chat of a request how far it is while the block runs."""
        progress = RequestProgress(self, request)
        mode = self.settings.mode
        if request.chat_id is None or mode == "off":
            yield progress
            return
        is_action = mode == "action"
        async with periodic.every(
            self.times.action_s if is_action else self.times.edit_s,
            progress.show_upload if is_action else progress.show_text,
            name=f"chat progress of {request.id}",
            delay_s=self.times.first_s,
        ):
            try:
                yield progress
            except ClaimLost:
                await progress.finish()
                await progress.remove_if_erased()
                raise
            except Exception:
                await progress.finish()
                raise


class RequestProgress:
    """How far one request is, as its job says and as its chat sees.

    `status`: the status message that the chat has of this request, None if there is none. `of_all`:
    what tells all chats of this worker.
    """

    def __init__(self, chat_progress: ChatProgress, request: ClaimedRequest) -> None:
        self.status = request.status
        self.of_all = chat_progress
        self._request = request
        self._is_draft = chat_progress.settings.mode == "draft" and (request.chat_id or 0) > 0
        self._is_over = False
        self._is_failure_logged = False
        self._place: Callable[[], QueuePlace | None] = lambda: None
        self._share = 0.0
        self._ends_at: float | None = None
        self._preview: bytes | None = None
        # The preview that was looked at last, and the photo of it; None if nobody may see that.
        self._preview_photo: tuple[bytes, bytes | None] | None = None
        self._shown: tuple[str, bytes | None] | None = None
        self._shown_at = 0.0
        # Held while a text is on its way.
        self._telling = asyncio.Lock()

    @property
    def takes_previews(self) -> bool:
        """Whether the chat sees previews of a picture that is rated safe."""
        settings = self.of_all.settings
        return settings.shows_previews and settings.mode == "message"

    def waits(self, place: Callable[[], QueuePlace | None]) -> None:
        """Tell from now on which place in the queue for slots the request has."""
        self._place = place

    def draws(self, expected_s: float | None) -> None:
        """Tell from now on that it is drawn, for so many seconds, None if that is unknown."""
        self._place = lambda: None
        self._share = 0.0
        self._ends_at = None if expected_s is None else time.monotonic() + expected_s

    def set_share(self, share: float) -> None:
        """Note how much of it is drawn, from 0 to 1."""
        self._share = share

    def set_preview(self, preview: Preview) -> None:
        """Note the newest preview of a picture that is rated safe."""
        self._preview = preview.image

    async def finish(self) -> None:
        """Tell nothing more, since the picture comes now; a chat action goes on.

        Waits for a status message that is on its way, so that the picture replaces it.
        """
        self._is_over = True
        with suppress(TimeoutError):
            async with asyncio.timeout(_FINISH_WITHIN_S), self._telling:
                pass

    async def show_upload(self) -> None:
        """Show in the chat that a photo is sent, for 5 s, if the request is still ours."""
        request = self._request
        if request.chat_id is None:
            return
        with self._failures_logged():
            if await self._is_ours():
                await self.of_all.sender.show_upload(request.chat_id, request.message_thread_id)

    async def show_text(self) -> None:
        """Tell the chat how far the request is, if that has changed."""
        request = self._request
        if request.chat_id is None:
            return
        async with self._telling:
            if self._is_over:
                return
            with self._failures_logged():
                if await self._is_ours():
                    await self._show_if_changed(request.chat_id)
                else:
                    self._is_over = True

    async def _is_ours(self) -> bool:
        """Whether the request is under way in this job; another process may have told its end."""
        claim_state = await self.of_all.requests.claim_state(self._request)
        return claim_state is ClaimState.OURS

    async def _show_if_changed(self, chat_id: int) -> None:
        words, language = self.of_all.words, self._request.language
        text = status_text(self._stage(), words, language)
        preview = await self._new_preview()
        is_unchanged = (text, preview) == self._shown
        if is_unchanged and not (self._is_draft and self._has_to_renew_draft()):
            return
        message = TextMessage(
            chat_id=chat_id,
            text=text,
            buttons=(
                MessageButton(
                    label=words.text("status_cancel", language=language),
                    data=cancel_data(self._request.id),
                ),
            ),
            protect_content=self._is_protected,
            reply_to_message_id=self._request.reply_to_message_id,
            message_thread_id=self._request.message_thread_id,
        )
        if self._is_draft:
            await self._show_draft(message)
        elif self.status is None:
            await self._send_status(message)
        else:
            await self._edit_status(message, self.status, preview)
        self._shown, self._shown_at = (text, preview), time.monotonic()

    def _stage(self) -> Stage:
        place = self._place()
        if place is not None:
            return Stage(place=place.number, left_s=place.ends_s)
        left_s = None if self._ends_at is None else self._ends_at - time.monotonic()
        return Stage(share=self._share, left_s=left_s)

    async def _new_preview(self) -> bytes | None:
        """Return a photo of the newest preview; the one before if nobody may see this one."""
        shown = None if self._shown is None else self._shown[1]
        preview = self._preview
        # A status has to be there before it can show one.
        if preview is None or self.status is None:
            return shown
        if self._preview_photo is None or self._preview_photo[0] != preview:
            self._preview_photo = (preview, await self._as_photo(preview))
        return self._preview_photo[1] or shown

    async def _as_photo(self, preview: bytes) -> bytes | None:
        """Return a preview marked as the picture will be; None if the operator's screen is against it."""
        of_all = self.of_all
        if not await image_screen.image_passes(of_all.preview_screen, preview, Rating.SAFE):
            return None
        try:
            return await preview_photo(
                preview, mark=of_all.settings.ai_mark, language=self._request.language
            )
        except Rejected as error:
            log.info("preview is not shown", code=error.code, why=error.sentence)
            return None

    def _has_to_renew_draft(self) -> bool:
        return time.monotonic() - self._shown_at >= self.of_all.times.renew_draft_s

    @property
    def _is_protected(self) -> bool:
        # The picture may be above safe, and an edit cannot protect it later.
        settings = self.of_all.settings
        return settings.protects_content and self._request.rating != Rating.SAFE

    async def _show_draft(self, message: TextMessage) -> None:
        try:
            await self.of_all.sender.show_draft(message, draft_id(self._request.id))
        except DraftRefused as error:
            log.info("chat takes no draft and gets a message", why=error.sentence)
            self._is_draft = False
            await self._send_status(message)

    async def _send_status(self, message: TextMessage) -> None:
        try:
            message_id = await self.of_all.sender.send_text(message)
        except OutcomeUnknown:
            self._is_over = True  # a second one would stay beside the first
            raise
        self.status = StatusMessage(message_id=message_id, is_protected=message.protect_content)
        try:
            await self.of_all.requests.note_status(self._request, self.status)
        except ClaimLost:
            self._is_over = True
            await self.remove_status()

    async def _edit_status(
        self, message: TextMessage, status: StatusMessage, preview: bytes | None
    ) -> None:
        sender = self.of_all.sender
        try:
            if preview is None:
                await sender.edit_text(message, status.message_id)
            else:
                if self.of_all.settings.ai_mark.is_in_caption:
                    line = caption_line(self._request.language)
                    message = replace(message, text=f"{message.text}\n\n{line}")
                await sender.show_preview(message, status.message_id, preview)
        except MessageGone:
            # Somebody has deleted it and wants no other; the picture will be a message of its own.
            self._is_over = True
            await self.remove_status()

    async def remove_if_erased(self) -> None:
        """Delete the status message if the row, which names it, was erased with its user."""
        with self._failures_logged():
            if self.status is not None and await self.of_all.requests.is_erased(self._request):
                await self.of_all.sender.delete(self._request.chat_id or 0, self.status.message_id)

    async def remove_status(self) -> None:
        """Delete the status message if there is one; one that is gone already counts as deleted.

        If Telegram cannot be asked now, the row goes on naming it, and it is deleted later.
        """
        status, chat_id = self.status, self._request.chat_id
        if status is None or chat_id is None:
            return
        with self._failures_logged():
            await self.of_all.sender.delete(chat_id, status.message_id)
            self.status = None
            await self.of_all.requests.note_status(self._request, None)

    @contextmanager
    def _failures_logged(self) -> Iterator[None]:
        """Log what goes wrong in the block, once for each request, and go on."""
        try:
            yield
        except (ToldLater, ClaimLost):
            pass
        except ImagegenError as error:
            self._is_over = self._is_over or isinstance(error, ChatGone)
            if not self._is_failure_logged:
                log.info("progress is not told", code=error.code, why=error.sentence)
            self._is_failure_logged = True
