"""What a picture is sent with: the persona's caption, buttons, a spoiler, its place in the chat."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from chatflow_hook.buttons import Button
from chatflow_hook.messages import Messages
from chatflow_hook.turn import Rating
from imagegen.delivery.ai_mark import caption_line
from imagegen.delivery.errors import SendRefused
from imagegen.delivery.message import AiMark, MessageButton, PhotoFile, PhotoMessage
from imagegen.pipeline.content_policy import DeliveryOptions
from imagegen.requests.claim import ClaimedRequest
from imagegen.requests.repository import RequestRepository
from imagegen.safety.rating import drawn_rating, is_private_chat
from imagegen.storage.store import StoredImage
from imagegen.workflows.persona import Persona

_CYRILLIC = re.compile(r"[а-яё]", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Caption:
    """The text under a picture and its markup; both may be None."""

    text: str | None = None
    parse_mode: str | None = None


@dataclass(frozen=True, kw_only=True)
class PhotoMessages:
    """Writes the message of a picture.

    `ai_mark`: where a photo says to people that a machine made it. `buttons` are under pictures that
    a person asked for, and under automatic ones too if `under` is all. `has_captions`: the persona
    says something where the bot gave no caption.
    """

    requests: RequestRepository
    words: Messages
    chance: random.Random
    buttons: Sequence[Button] = ()
    under: Literal["asked", "all"] = "asked"
    has_captions: bool = True
    ai_mark: AiMark = AiMark.OFF

    async def caption(self, request: ClaimedRequest, persona: Persona | None) -> Caption:
        """Return the caption of a picture: the bot's own, else one in the persona's voice.

        Raises:
            ClaimLost: another job has the request, or it has ended.
            Unavailable: PostgreSQL is away.
        """
        if request.caption is not None:
            return Caption(text=request.caption, parse_mode=request.caption_parse_mode)
        has_voice = request.kind.has_dialog and not request.kind.is_document
        if persona is None or not self.has_captions or not has_voice:
            return Caption()
        captions = persona.captions.of_language(_language(request))
        text = await self.requests.choose_caption(request, captions, chance=self.chance)
        return Caption(text=text, parse_mode=persona.captions.parse_mode)

    def message(
        self,
        request: ClaimedRequest,
        chat_id: int,
        image: StoredImage,
        options: DeliveryOptions,
        caption: Caption,
    ) -> PhotoMessage:
        """Return the message of a picture without its bytes.

        A file has no spoiler and no caption. Above safe it is protected, and goes to nobody but its
        user.

        Raises:
            SendRefused: it is a file that others would see without the spoiler of its picture.
        """
        is_document = request.kind.is_document
        if is_document and options.has_spoiler and not is_private_chat(chat_id, request.user_id):
            raise SendRefused("a file has no spoiler, and others would see it")
        is_safe = drawn_rating(request.drawn_rating) is Rating.SAFE
        return PhotoMessage(
            chat_id=chat_id,
            filename=_filename(request, image.name),
            album=tuple(
                PhotoFile(
                    filename=_filename(request, name, number=number),
                    width=image.width,
                    height=image.height,
                )
                for number, name in enumerate(image.album, start=2)
            ),
            width=image.width,
            height=image.height,
            caption=caption.text,
            parse_mode=caption.parse_mode,
            last_line=caption_line(request.language) if self._has_line(request) else None,
            # Telegram shows none under an album.
            buttons=() if image.album else self._buttons(request),
            is_document=is_document,
            has_spoiler=options.has_spoiler,
            protect_content=options.protect_content or (is_document and not is_safe),
            reply_to_message_id=request.reply_to_message_id,
            message_thread_id=request.message_thread_id,
        )

    def _has_line(self, request: ClaimedRequest) -> bool:
        """Whether a line says that a machine made it. Into a file nothing is drawn, so it has one."""
        if request.kind.is_document:
            return self.ai_mark is not AiMark.OFF
        return self.ai_mark.is_in_caption

    def _buttons(self, request: ClaimedRequest) -> tuple[MessageButton, ...]:
        kind = request.kind
        if kind.is_document or not kind.has_dialog:
            return ()
        if self.under == "asked" and not kind.is_asked_by_person:
            return ()
        return tuple(
            MessageButton(
                label=self.words.text(button.label, language=request.language),
                data=button.data(request.id),
            )
            for button in self.buttons
        )


def _filename(request: ClaimedRequest, name: str, *, number: int = 1) -> str:
    """Return under which name people save the stored file `name`, the `number`-th of an album."""
    counted = "" if number == 1 else f"-{number}"
    return f"{request.persona}-{request.id.hex[:8]}{counted}.{name.rpartition('.')[2]}"


def _language(request: ClaimedRequest) -> str:
    if request.language:
        return request.language
    return "ru" if _CYRILLIC.search(request.talk.text) else "en"
