"""The buttons under a delivered picture: what they carry, and what a press does.

A button carries the id of its picture's request and nothing else that decides; all state is in the
row of that request. So a button of last month works as long as the row is kept, in every process of
the bot, and a press that comes twice does nothing twice.
"""

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import column, func, insert, select, table, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from chatflow_hook import cancellation
from chatflow_hook.albums import later_messages
from chatflow_hook.limited_message import limited_notice
from chatflow_hook.manual_requests import ManualRequests, NothingToVary, PhotoOnItsWay
from chatflow_hook.messages import Messages
from chatflow_hook.outbox import Request
from chatflow_hook.quota import Limited
from chatflow_hook.tables import OPEN, ImageRequest, Kind, State
from chatflow_hook.tracing import traced
from chatflow_hook.turn import Rating

# Telegram gives 64 bytes to a button. The number is the version of what follows.
_VERSION = "pic1"
_DATA = re.compile(rf"{_VERSION}:([a-z]+):([0-9a-f]{{32}})")
# Cancel is under the status message of a picture, see drafts.py.
_PREFIX = re.compile(r"pic\d+:(?!cancel:)")

# A table of the worker, which takes the messages listed there out of their chats.
_MESSAGES_TO_DELETE = table("forgotten_messages", column("chat_id"), column("message_id"))

_COPIED_TO_FILE = (
    "dialog_id",
    "user_id",
    "chat_id",
    "chat_type",
    "persona",
    "message_count",
    "language",
    "rating",
    "drawn_rating",
    "has_spoiler",
    "variation",
    "message_thread_id",
    "image",
    "album_images",
    "image_url",
    "width",
    "height",
    "seed",
)


class Button(enum.StrEnum):
    """A button under a picture."""

    # Another picture of the same scene.
    ANOTHER = "another"
    # The picture as the file that it is, not as Telegram shows photos.
    FILE = "file"
    # Take the picture out of the chat.
    HIDE = "hide"
    # The same, and tell the operators.
    REPORT = "report"

    def data(self, request_id: UUID) -> str:
        """Return what the button carries, its `callback_data`."""
        return f"{_VERSION}:{self}:{request_id.hex}"

    @property
    def label(self) -> str:
        """The key of its label among the messages for people."""
        return f"button_label_{self}"


@dataclass(frozen=True, kw_only=True)
class ButtonAnswer:
    """What to answer to a press: `bot.answer_callback_query(id, text=…, show_alert=…)`.

    `text` is for the person who pressed, in their language. `show_alert`: the text is to be read,
    and closed by hand. `request` is the picture or the file that now comes, else None.
    `deletes_message`: delete the message with the button now; the worker does it within seconds if
    the bot cannot, and of a message older than 48 hours it leaves a placeholder.
    """

    text: str
    show_alert: bool
    request: Request | None
    deletes_message: bool


@dataclass(frozen=True, kw_only=True)
class Press:
    """One press of a button: who, in which chat, and Telegram's id of the press if known.

    `zone` is the person's time zone, None if nobody knows it.
    """

    data: str
    user_id: int
    chat_id: int
    press_id: str | None = None
    language: str | None = None
    zone: tzinfo | None = None


@dataclass(frozen=True, kw_only=True)
class PressResult:
    """What became of a press. `varied` is the answer to who wanted another picture, else None."""

    answer: ButtonAnswer
    varied: Request | Limited | None = None


def is_ours(data: str) -> bool:
    """Return whether a button is one under a picture, of this version or another one."""
    return _PREFIX.match(data) is not None


def parse_data(data: str) -> tuple[Button, UUID] | None:
    """Return which button was pressed under the picture of which request; None if it is unknown."""
    parts = _DATA.fullmatch(data)
    if parts is None or parts[1] not in set(Button):
        return None
    return Button(parts[1]), UUID(parts[2])


class Buttons:
    """Carries out presses, each in one transaction of the caller."""

    def __init__(self, manual_requests: ManualRequests, messages: Messages) -> None:
        self._manual_requests = manual_requests
        self._messages = messages

    async def press(self, connection: AsyncConnection, press: Press) -> PressResult:
        """Do what a button says, or answer why not; does not commit.

        Another picture, the file and hiding are for the user whose picture it is, whose share pays.
        Everybody in its chat may report it.

        Raises:
            PhotoOnItsWay: the photo is in the chat already, and its row does not know it yet.
        """
        if (button_and_picture := parse_data(press.data)) is None:
            return PressResult(answer=self.refusal("button_unknown", press.language))
        button, request_id = button_and_picture
        picture = await _locked(connection, request_id)
        if (why_not := _why_not(picture, button, press)) is not None:
            return PressResult(answer=self.refusal(why_not, press.language))
        if picture.reported_at is not None:
            return PressResult(answer=self._done("button_reported", press, deletes_message=True))
        match button:
            case Button.ANOTHER:
                return await self._another(connection, picture, press)
            case Button.FILE:
                answer = await self._file(connection, picture, press)
            case Button.HIDE:
                await _hide(connection, picture)
                answer = self._done("button_hidden", press, deletes_message=True)
            case Button.REPORT:
                await _hide(connection, picture, reported_by=press.user_id)
                answer = self._done("button_reported", press, deletes_message=True)
        return PressResult(answer=answer)

    def refusal(self, key: str, language: str | None) -> ButtonAnswer:
        """Return the answer to a press that cannot be carried out, by the key of its sentence."""
        return _refusal(self._messages.text(key, language=language))

    async def _another(
        self, connection: AsyncConnection, picture: Any, press: Press
    ) -> PressResult:
        pressed = await _pressed_on(connection, picture.id, Kind.VARIATION)
        if _is_known(press, pressed) or any(row.state in OPEN for row in pressed):
            return PressResult(answer=self._done("button_another", press))
        try:
            varied = await self._manual_requests.vary(
                connection,
                picture.id,
                reply_to_message_id=picture.telegram_message_id,
                pressed_on=picture.id,
                press_id=press.press_id,
            )
        except NothingToVary:
            return PressResult(answer=self.refusal("button_words_gone", press.language))
        if isinstance(varied, Limited):
            notice = limited_notice(
                varied, self._messages, language=press.language, zone=press.zone
            )
            return PressResult(answer=_refusal(notice), varied=varied)
        answer = self._done("button_another", press, request=varied)
        return PressResult(answer=answer, varied=varied)

    async def _file(self, connection: AsyncConnection, picture: Any, press: Press) -> ButtonAnswer:
        pressed = await _pressed_on(connection, picture.id, Kind.FILE)
        if _is_known(press, pressed) or any(row.state in OPEN for row in pressed):
            return self._done("button_file", press)
        if any(row.state == State.DELIVERED for row in pressed):
            return self._done("button_file_sent", press)
        if picture.image is None:
            return self.refusal("button_file_gone", press.language)
        if _must_stay_hidden(picture):
            return self.refusal("button_file_not_here", press.language)
        request = Request(
            id=uuid4(), dialog_id=picture.dialog_id, message_count=picture.message_count
        )
        values: dict[str, Any] = {
            **{name: getattr(picture, name) for name in _COPIED_TO_FILE},
            "id": request.id,
            "kind": Kind.FILE,
            "state": State.DRAWN,
            "created_at": func.clock_timestamp(),
            **traced(),
            "reply_to_message_id": picture.telegram_message_id,
            "pressed_on": picture.id,
            "press_id": press.press_id,
        }
        await connection.execute(insert(ImageRequest).values(values))
        return self._done("button_file", press, request=request)

    def _done(
        self,
        key: str,
        press: Press,
        *,
        request: Request | None = None,
        deletes_message: bool = False,
    ) -> ButtonAnswer:
        text = self._messages.text(key, language=press.language)
        return ButtonAnswer(
            text=text, show_alert=False, request=request, deletes_message=deletes_message
        )


def _refusal(text: str) -> ButtonAnswer:
    return ButtonAnswer(text=text, show_alert=True, request=None, deletes_message=False)


async def _locked(connection: AsyncConnection, request_id: UUID) -> Any:
    """Lock a picture's row until the transaction ends, so that presses come one by one."""
    query = select(*ImageRequest.__table__.columns).where(ImageRequest.id == request_id)
    return (await connection.execute(query.with_for_update(key_share=True))).one_or_none()


def _why_not(picture: Any, button: Button, press: Press) -> str | None:
    """Return the key of the sentence that says why a press does not count; None if it does.

    Raises:
        PhotoOnItsWay: the delivery is not written down yet.
    """
    if picture is not None and picture.state == State.DELIVERING:
        raise PhotoOnItsWay(f"the delivery of {picture.id} is not written down yet")
    if picture is not None and picture.state in OPEN:
        return "button_later"
    if picture is None or picture.chat_id != press.chat_id or not _can_be_pressed(picture, button):
        return "button_gone"
    if button is not Button.REPORT and picture.user_id != press.user_id:
        return "button_not_yours"
    return None


def _can_be_pressed(picture: Any, button: Button) -> bool:
    """Whether the state of a picture allows a press of one of its buttons.

    A picture that arrived although it was cancelled can be hidden and reported, and no more.
    """
    has_arrived = picture.telegram_message_id is not None
    takes_away = button in (Button.HIDE, Button.REPORT)
    return picture.state == State.DELIVERED or (has_arrived and takes_away)


async def _pressed_on(connection: AsyncConnection, picture_id: UUID, kind: Kind) -> Sequence[Any]:
    query = select(ImageRequest.id, ImageRequest.state, ImageRequest.press_id).where(
        ImageRequest.pressed_on == picture_id, ImageRequest.kind == kind
    )
    return (await connection.execute(query)).all()


def _is_known(press: Press, pressed: Sequence[Any]) -> bool:
    return press.press_id is not None and press.press_id in {row.press_id for row in pressed}


def _must_stay_hidden(picture: Any) -> bool:
    """Whether a file, which has no spoiler, would show to others what its picture hides."""
    is_hidden = picture.has_spoiler or picture.drawn_rating != Rating.SAFE
    return bool(is_hidden and picture.chat_id != picture.user_id)


async def _hide(
    connection: AsyncConnection, picture: Any, *, reported_by: int | None = None
) -> None:
    """Write down that a picture is hidden, and list its messages as ones to be deleted."""
    now = func.clock_timestamp()
    values: dict[str, Any] = {"hidden_at": func.coalesce(ImageRequest.hidden_at, now)}
    if reported_by is not None:
        values |= {"reported_at": now, "reported_by": reported_by}
    query = update(ImageRequest).where(ImageRequest.id == picture.id).values(values)
    await connection.execute(query)
    of_file = (ImageRequest.pressed_on == picture.id, ImageRequest.kind == Kind.FILE)
    await cancellation.cancel(connection, *of_file)
    sent_files = select(ImageRequest.id, ImageRequest.telegram_message_id).where(
        *of_file, ImageRequest.telegram_message_id.is_not(None)
    )
    shown = [picture, *(await connection.execute(sent_files)).all()]
    message_ids = [
        *(each.telegram_message_id for each in shown),
        *await later_messages(connection, [each.id for each in shown]),
    ]
    listed = [
        {"chat_id": picture.chat_id, "message_id": message_id}
        for message_id in message_ids
        if message_id is not None
    ]
    if listed:
        await connection.execute(upsert(_MESSAGES_TO_DELETE).on_conflict_do_nothing(), listed)
