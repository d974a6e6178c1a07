"""A stand-in for ChatFlowHook in a bot's own tests: no server, no network, no files.

Only tests import this module; `chatflow_hook` itself does not.
"""

import asyncio
import itertools
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal, Self
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

from chatflow_hook import buttons, counting, handles, messages, sessions
from chatflow_hook.buttons import Button, ButtonAnswer
from chatflow_hook.cancellation import CANCELLED
from chatflow_hook.database import DatabaseFault
from chatflow_hook.drafts import StoppedDraft, draft_id
from chatflow_hook.ends import OnEnd, RequestEnd
from chatflow_hook.handles import Handle, SentPhoto
from chatflow_hook.hook import ChatFlowHook
from chatflow_hook.limited_message import LimitedMessage, limited_message, limited_notice
from chatflow_hook.manual_requests import SUPERSEDED, NothingToVary
from chatflow_hook.metrics import HookMetrics
from chatflow_hook.outbox import Request
from chatflow_hook.picture import Picture, detail_of
from chatflow_hook.quota import Limited
from chatflow_hook.safety_memory import WAITING_TIME
from chatflow_hook.tables import NOBODY, Kind, State, kinds_that
from chatflow_hook.trigger import Distance, judge
from chatflow_hook.turn import DialogKey, EndReason, Turn, dialog_number
from chatflow_hook.user_erasure import NOT_A_USER, Forgotten

_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
_ASKED_BY_PERSON = kinds_that(lambda kind: kind.is_asked_by_person)
_COUNTED = kinds_that(lambda kind: kind.counts_against_quota)

_QUEUED = Picture(
    state=State.QUEUED,
    error_code=None,
    message=None,
    url=None,
    width=None,
    height=None,
    seed=None,
    telegram_message_id=None,
)
_DRAWN = replace(_QUEUED, state=State.DRAWN, width=832, height=1216, seed=1)


@dataclass(frozen=True, kw_only=True)
class RecordedRequest:
    """A request of an InMemoryHook, as it was when it was read.

    `kind` is automatic, asked, variation, cover or file, and a string too. `turn` is the turn that
    brought it; a variation has the turn of the picture that it varies. `picture` is what `wait`
    returned then. `is_enqueued` says whether the worker was told: by `enqueue`, or by the hook
    itself, where it commits. `created_at` is from the stand-in's clock. `cover` is the number of
    the persona's cover, from 0, and None for the other kinds.
    """

    request: Request
    kind: Kind
    turn: Turn
    picture: Picture
    created_at: datetime
    is_enqueued: bool = False
    cover: int | None = None


@dataclass(kw_only=True)
class _Dialog:
    message_count: int = 0
    watermark: int | None = None
    counted: Sequence[int] = ()


def _utc_now() -> datetime:
    return datetime.now(UTC)


class InMemoryHook(ChatFlowHook):
    """A ChatFlowHook that keeps everything in memory, for tests of a bot.

    Its methods give the answers of ChatFlowHook's, the trigger and the limits included, and it is
    a subclass, so that a handler may name that type. Nobody draws: the test says with `finish` or
    `fail` how a request ends, and reads from `requests` what the bot asked for. While
    `is_database_down` is True, each method answers as it does without a database. `is_closed`
    tells whether `close` was called.

    The arguments are the settings of the same names in lower case. Where `image_trigger_min` and
    `image_trigger_max` differ, `chance` decides between them; None is a source with a fixed seed,
    so that a test does the same each time. `covers` is how many covers each persona has, by its
    name in lower case. `clock` gives the present time, in UTC, for the limits.

    It does less than ChatFlowHook in this:

    - It takes part in no transaction. A `session` is neither flushed nor used, and its rollback
      does not undo what `on_turn` recorded.
    - It behaves as if the table `dialogs` were ours: DialogUnknownError is never raised.
    - It does not screen: it refuses nothing, takes a `prompt` as it stands, and learns of a user's
      age only by `learn_to_be_a_minor`.
    - It keeps the words of a `prompt` and all files, so that no button finds them gone.
    - It logs nothing, reads no variable and no MESSAGES_FILE, and without a database it answers at
      once.
    - `on_end` tells one end at a time, also those of before its first call, and raises what the
      callback raises.
    """

    def __init__(  # noqa: PLR0913 (settings, by their names)
        self,
        *,
        image_trigger_min: int = 3,
        image_trigger_max: int = 5,
        images_per_user_per_day: int = 0,
        asked_images_per_minute: int = 5,
        covers: Mapping[str, int] | None = None,
        chance: random.Random | None = None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        # ChatFlowHook.__init__ is not called: it makes connections, and each of its methods is
        # overridden here.
        self.is_database_down = False
        self.is_closed = False
        self._distance = Distance(minimum=image_trigger_min, maximum=image_trigger_max)
        self._per_day = images_per_user_per_day
        self._asked_per_minute = asked_images_per_minute
        self._covers = dict(covers or {})
        self._chance = chance or random.Random(0)  # noqa: S311 (a test that repeats itself)
        self._clock = clock
        self._dialogs: dict[int, _Dialog] = {}
        self._requests: dict[UUID, RecordedRequest] = {}
        self._ended: dict[UUID, asyncio.Event] = {}
        self._untold: dict[UUID, None] = {}
        self._is_untold = asyncio.Event()
        self._of_age: set[int] = set()
        self._asked_age: set[int] = set()
        self._waits_until: dict[int, datetime] = {}
        self._photo_ids = itertools.count(1)
        # By button and picture: the requests that presses have brought, with the ids of the presses.
        self._pressed: dict[tuple[Button, UUID], dict[UUID, str | None]] = {}
        self._reported: set[UUID] = set()

    @property
    def requests(self) -> Sequence[RecordedRequest]:
        """All requests as they are now, the oldest first."""
        return tuple(self._requests.values())

    def finish(
        self,
        request: Request,
        *,
        url: str | None = None,
        seed: int = 1,
        telegram_message_id: int | None = None,
        summary: str | None = None,
    ) -> None:
        """Deliver the picture of an open request, as the worker would.

        The trigger counts from the request's message on, unless it is a variation or a cover.
        Where `telegram_message_id` is None, a photo in a chat gets the next number from 1.

        Raises:
            LookupError: there is no such request.
            ValueError: it had ended before.
        """
        recorded = self._find_open(request)
        if recorded.turn.chat_id is not None and telegram_message_id is None:
            telegram_message_id = next(self._photo_ids)
        delivered = replace(
            _DRAWN,
            state=State.DELIVERED,
            url=url,
            seed=seed,
            telegram_message_id=telegram_message_id,
            summary=summary,
        )
        self._end(recorded, delivered)
        if recorded.kind.moves_watermark:
            dialog = self._dialogs[recorded.request.dialog_id]
            count = min(recorded.request.message_count, dialog.message_count)
            dialog.watermark = max(dialog.watermark or 0, count)

    def fail(
        self,
        request: Request,
        *,
        error_code: str,
        message: str | None = None,
        detail: str = "The picture could not be made.",
        state: Literal["failed", "refused", "expired"] = "failed",
    ) -> None:
        """End an open request without a picture, as the worker would.

        `error_code` is one of docs/errors.md. `message` is the sentence for the person in the chat;
        None is the one that the hook has for this end and the turn's language. `detail` is for
        operators and bot authors. The trigger is not moved.

        Raises:
            LookupError: there is no such request.
            ValueError: it had ended before.
        """
        why = EndReason(code=error_code, sentence=detail)
        self._end_without(self._find_open(request), State(state), why, message=message)

    def learn_to_be_a_minor(self, user_id: int) -> None:
        """Take a user for under 18, as the worker does when it reads that they have said so."""
        self._of_age.discard(user_id)
        self._asked_age.discard(user_id)
        self._waits_until[user_id] = self._clock() + WAITING_TIME

    @classmethod
    def from_env(cls, *, metrics: HookMetrics | None = None) -> Self:  # noqa: ARG003 (as there)
        """Create a stand-in with the default settings; reads no variable, and counts nothing."""
        return cls()

    async def on_turn(
        self,
        turn: Turn,
        session: AsyncSession | async_scoped_session[AsyncSession] | AsyncConnection | None = None,
    ) -> Request | None:
        """As ChatFlowHook.on_turn, but records at once, whatever becomes of the transaction."""
        if session is not None:
            sessions.require_async(session)
        if turn.is_refresh or self.is_database_down:
            return None
        if turn.message_count is not None and turn.message_count < 1:
            return None
        request = self._count_and_decide(turn)
        if session is None:
            await self.enqueue(request)
        return request

    async def enqueue(self, request: Request | None) -> None:
        """As ChatFlowHook.enqueue: the request is recorded as enqueued."""
        if request is not None and request.id in self._requests:
            self._update(self._requests[request.id], is_enqueued=True)

    async def wait(self, request: Handle, *, timeout: float) -> Picture:  # noqa: ASYNC109 (as there)
        """As ChatFlowHook.wait, but raises TimeoutError at once if the database is down."""
        if self.is_database_down:
            raise TimeoutError("the database does not answer")
        found = self._find(request).request
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._ended[found.id].wait()
        return self._find(found).picture

    async def status(self, request: Handle) -> Picture:
        """As ChatFlowHook.status."""
        return await self.wait(request, timeout=0)

    async def on_end(self, callback: OnEnd) -> None:
        """As ChatFlowHook.on_end, one end after the other; what `callback` raises is raised."""
        while True:
            while self._untold:
                request_id = next(iter(self._untold))
                await callback(self._end_of(self._requests[request_id]))
                self._untold.pop(request_id, None)
            self._is_untold.clear()
            await self._is_untold.wait()

    async def ask(self, turn: Turn) -> Request | Limited:
        """As ChatFlowHook.ask."""
        self._check_database()
        dialog = self._dialogs.setdefault(turn.dialog_id, _Dialog())
        if (asked := self._open(turn.dialog_id, Kind.ASKED)) is not None:
            return asked.request
        if (limited := self._limited(turn.user_id, Kind.ASKED)) is not None:
            return limited
        count = turn.user_message_count or dialog.message_count
        automatic = self._open(turn.dialog_id, Kind.AUTOMATIC)
        if automatic is not None and automatic.request.message_count >= count:
            self._end_without(automatic, State.CANCELLED, SUPERSEDED)
        request = self._add_of_turn(turn, Kind.ASKED, count)
        await self.enqueue(request)
        return request

    async def vary(
        self,
        request_id: Handle,
        *,
        reply_to_message_id: int | None = None,
        user_id: int | None = None,
    ) -> Request | Limited:
        """As ChatFlowHook.vary; the words of the bot's own `prompt` are always kept.

        Raises:
            NothingToVary: there is no such delivered picture of this user.
            DatabaseFault: `is_database_down` is set.
        """
        self._check_database()
        varied = self._found(request_id)
        if (
            varied is None
            or not _is_delivered(varied)
            or user_id not in (None, varied.turn.user_id)
        ):
            shown = handles.spelled(request_id)
            raise NothingToVary(f"nothing is known of what request {shown} shows")
        if (limited := self._limited(varied.turn.user_id, Kind.VARIATION)) is not None:
            return limited
        count = varied.request.message_count
        turn = varied.turn
        if reply_to_message_id is not None:
            turn = turn.model_copy(update={"reply_to_message_id": reply_to_message_id})
        request = self._add(turn, Kind.VARIATION, count, _QUEUED)
        await self.enqueue(request)
        return request

    async def on_button(  # noqa: PLR0913 (of Telegram's callback query, by name)
        self,
        data: str | None,
        *,
        user_id: int,
        chat_id: int,
        press_id: str | None = None,
        language: str | None = None,
        zone: tzinfo | None = None,
    ) -> ButtonAnswer | None:
        """As ChatFlowHook.on_button; every file is kept, and may be sent in any chat."""
        if data is None or not buttons.is_ours(data):
            return None
        if self.is_database_down:
            return _answer("button_later", language, is_refusal=True)
        if (button_and_picture := buttons.parse_data(data)) is None:
            return _answer("button_unknown", language, is_refusal=True)
        button, request_id = button_and_picture
        picture = self._requests.get(request_id)
        if picture is not None and picture.picture.state.is_open:
            return _answer("button_later", language, is_refusal=True)
        if picture is None or not _is_delivered(picture) or picture.turn.chat_id != chat_id:
            return _answer("button_gone", language, is_refusal=True)
        if button is not Button.REPORT and picture.turn.user_id != user_id:
            return _answer("button_not_yours", language, is_refusal=True)
        if picture.request.id in self._reported:
            return _answer("button_reported", language, deletes_message=True)
        match button:
            case Button.ANOTHER | Button.FILE:
                return await self._press(button, picture, press_id, language, zone)
            case Button.HIDE | Button.REPORT:
                return self._hide(button, request_id, language)

    async def on_dialog_start(self, turn: Turn) -> Request | None:
        """As ChatFlowHook.on_dialog_start, with as many covers as `covers` says."""
        if self.is_database_down:
            return None
        shown = [
            recorded.cover
            for recorded in self._requests.values()
            if not recorded.kind.has_dialog
            and (recorded.turn.user_id, recorded.turn.persona) == (turn.user_id, turn.persona)
            and _is_open_or_delivered(recorded)
        ]
        others = [
            cover for cover in range(self._covers.get(turn.persona, 0)) if [cover] != shown[-1:]
        ]
        if not others:
            return None
        request = self._add(turn, Kind.COVER, 0, _DRAWN, cover=self._chance.choice(others))
        await self.enqueue(request)
        return request

    async def confirm_age(
        self,
        user_id: int,
        *,
        language: str | None = None,  # noqa: ARG002 (kept for the record only)
    ) -> bool:
        """As ChatFlowHook.confirm_age."""
        self._check_database()
        if self._is_waiting(user_id):
            return False
        self._of_age.add(user_id)
        return True

    async def may_ask_age(self, user_id: int) -> bool:
        """As ChatFlowHook.may_ask_age."""
        self._check_database()
        return user_id not in self._of_age and not self._is_waiting(user_id)

    async def claim_age_question(self, user_id: int) -> bool:
        """As ChatFlowHook.claim_age_question."""
        if user_id in self._asked_age or not await self.may_ask_age(user_id):
            return False
        self._asked_age.add(user_id)
        return True

    async def release_age_question(self, user_id: int) -> None:
        """As ChatFlowHook.release_age_question."""
        self._check_database()
        self._asked_age.discard(user_id)

    async def revoke_age(self, user_id: int) -> None:
        """As ChatFlowHook.revoke_age."""
        self._check_database()
        self._of_age.discard(user_id)

    async def has_confirmed_age(self, user_id: int) -> bool:
        """As ChatFlowHook.has_confirmed_age."""
        self._check_database()
        return user_id in self._of_age

    async def cancel(self, request: Handle) -> bool:
        """As ChatFlowHook.cancel."""
        self._check_database()
        recorded = self._found(request)
        if recorded is None or not recorded.picture.state.is_open:
            return False
        self._end_without(recorded, State.CANCELLED, CANCELLED)
        return True

    def limited_message(
        self, limited: Limited, *, language: str | None = None, zone: tzinfo | None = None
    ) -> LimitedMessage:
        """As ChatFlowHook.limited_message, with the shipped sentences."""
        return limited_message(limited, messages.shipped(), language=language, zone=zone)

    async def forget_user(
        self, user_id: int, *, dialog_ids: Collection[DialogKey] = ()
    ) -> Forgotten:
        """As ChatFlowHook.forget_user; it knows of no `hosts` and of no `unknown_sends`."""
        self._check_database()
        if user_id == NOBODY:
            raise ValueError(NOT_A_USER)
        self._of_age.discard(user_id)
        self._asked_age.discard(user_id)
        erased = [each for each in self._requests.values() if each.turn.user_id == user_id]
        for recorded in erased:
            del self._requests[recorded.request.id]
            self._untold.pop(recorded.request.id, None)
            self._ended.pop(recorded.request.id).set()
        of_others = {recorded.request.dialog_id for recorded in self._requests.values()}
        of_user = {recorded.request.dialog_id for recorded in erased}
        of_user |= {dialog_number(key) for key in dialog_ids}
        emptied = of_user - of_others
        dialogs = [self._dialogs.pop(each) for each in emptied & self._dialogs.keys()]
        return _count_erased(erased, dialogs=len(dialogs))

    async def close(self) -> None:
        """As ChatFlowHook.close; there is nothing to close."""
        self.is_closed = True

    @staticmethod
    def wants_picture(text: str, model_says: bool | None = None) -> bool:  # noqa: FBT001 (as there)
        """As ChatFlowHook.wants_picture, which needs no server either."""
        return ChatFlowHook.wants_picture(text, model_says)

    def _hide(self, button: Button, request_id: UUID, language: str | None) -> ButtonAnswer:
        """Cancel the file of a hidden or reported picture, if it is still under way."""
        for file_id in self._pressed.get((Button.FILE, request_id), ()):
            file = self._requests.get(file_id)
            if file is not None and file.picture.state.is_open:
                self._end_without(file, State.CANCELLED, CANCELLED)
        if button is Button.HIDE:
            return _answer("button_hidden", language, deletes_message=True)
        self._reported.add(request_id)
        return _answer("button_reported", language, deletes_message=True)

    async def _press(
        self,
        button: Button,
        picture: RecordedRequest,
        press_id: str | None,
        language: str | None,
        zone: tzinfo | None,
    ) -> ButtonAnswer:
        """Request another picture or the file, unless one is under way or the press is known."""
        pressed = self._pressed.setdefault((button, picture.request.id), {})
        states = [self._requests[id_].picture.state for id_ in pressed if id_ in self._requests]
        if any(state.is_open for state in states) or (
            press_id is not None and press_id in pressed.values()
        ):
            return _answer(f"button_{button}", language)
        if button is Button.ANOTHER:
            answer = await self.vary(
                picture.request, reply_to_message_id=picture.picture.telegram_message_id
            )
            if isinstance(answer, Limited):
                words = messages.shipped()
                notice = limited_notice(answer, words, language=language, zone=zone)
                return ButtonAnswer(
                    text=notice, show_alert=True, request=None, deletes_message=False
                )
        elif State.DELIVERED in states:
            return _answer("button_file_sent", language)
        else:
            count = picture.request.message_count
            answer = self._add(picture.turn, Kind.FILE, count, _DRAWN)
            await self.enqueue(answer)
        pressed[answer.id] = press_id
        return _answer(f"button_{button}", language, request=answer)

    def _open(self, dialog_id: int, kind: Kind) -> RecordedRequest | None:
        matching = (
            each
            for each in self._requests.values()
            if (each.request.dialog_id, each.kind) == (dialog_id, kind)
            and each.picture.state.is_open
        )
        return next(matching, None)

    def _count_and_decide(self, turn: Turn) -> Request | None:
        """Do the same steps as `outbox.record`."""
        dialog = self._dialogs.setdefault(turn.dialog_id, _Dialog())
        if counting.is_counted(turn, dialog.counted):
            return self._request_of_message(turn, dialog)

        last = self._last_automatic(turn.dialog_id)
        count = turn.user_message_count or dialog.message_count + 1
        has_failed = last is not None and last.picture.state is not State.DELIVERED
        verdict = judge(
            message_count=count,
            watermark=dialog.watermark,
            failed_at=last.request.message_count if last is not None and has_failed else None,
            distance=self._distance,
            messages_needed=self._distance.drawn(self._chance),
        )
        dialog.message_count, dialog.watermark = count, verdict.watermark
        dialog.counted = counting.with_message(turn, count, dialog.counted)

        if last is not None and has_failed and count < last.request.message_count:
            # The dialog was restarted: a picture that is under way moves to the new count, and one
            # that did not come moves before it.
            moved = count if last.picture.state.is_open else count - 1
            self._update(last, request=replace(last.request, message_count=moved))
        if last is not None and last.picture.state.is_open:
            return None
        if not verdict.is_due or self._open(turn.dialog_id, Kind.ASKED) is not None:
            return None
        if self._limited(turn.user_id, Kind.AUTOMATIC) is not None:
            return None
        return self._add_of_turn(turn, Kind.AUTOMATIC, count)

    def _request_of_message(self, turn: Turn, dialog: _Dialog) -> Request | None:
        if turn.reply_to_message_id is not None:
            of_message = [
                recorded.request
                for recorded in self._automatic(turn.dialog_id)
                if recorded.turn.reply_to_message_id == turn.reply_to_message_id
            ]
            return of_message[-1] if of_message else None
        last = self._last_automatic(turn.dialog_id)
        if last is None or last.request.message_count != turn.user_message_count:
            return None
        is_delivered = last.picture.state is State.DELIVERED
        is_of_before = is_delivered and dialog.watermark != last.request.message_count
        return None if is_of_before else last.request

    def _automatic(self, dialog_id: int) -> Sequence[RecordedRequest]:
        return [
            recorded
            for recorded in self._requests.values()
            if recorded.kind is Kind.AUTOMATIC and recorded.request.dialog_id == dialog_id
        ]

    def _last_automatic(self, dialog_id: int) -> RecordedRequest | None:
        return next(reversed(self._automatic(dialog_id)), None)

    def _limited(self, user_id: int, kind: Kind) -> Limited | None:
        times = []
        if self._per_day:
            times.append(self._free_at(user_id, _DAY, self._per_day, _COUNTED))
        if self._asked_per_minute and kind.is_asked_by_person:
            times.append(self._free_at(user_id, _MINUTE, self._asked_per_minute, _ASKED_BY_PERSON))
        latest = max((time for time in times if time is not None), default=None)
        return None if latest is None else Limited(free_at=latest)

    def _free_at(
        self, user_id: int, length: timedelta, most: int, kinds: Sequence[Kind]
    ) -> datetime | None:
        window_start = self._clock() - length
        counted = [
            recorded.created_at
            for recorded in self._requests.values()
            if recorded.turn.user_id == user_id
            and recorded.kind in kinds
            and recorded.created_at > window_start
            and _is_open_or_delivered(recorded)
        ]
        return counted[-most] + length if len(counted) >= most else None

    def _add_of_turn(self, turn: Turn, kind: Kind, count: int) -> Request:
        """Add a request; that of a turn with a `fault` has failed at once."""
        request = self._add(turn, kind, count, _QUEUED)
        if turn.fault is not None:
            self._end_without(self._requests[request.id], State.FAILED, turn.fault)
        return request

    def _add(
        self, turn: Turn, kind: Kind, count: int, picture: Picture, cover: int | None = None
    ) -> Request:
        request = Request(id=uuid4(), dialog_id=turn.dialog_id, message_count=count)
        self._requests[request.id] = RecordedRequest(
            request=request,
            kind=kind,
            turn=turn,
            picture=picture,
            created_at=self._clock(),
            cover=cover,
        )
        self._ended[request.id] = asyncio.Event()
        return request

    def _found(self, handle: Handle) -> RecordedRequest | None:
        if isinstance(handle, StoppedDraft):
            of_draft = (
                recorded
                for recorded in self._requests.values()
                if recorded.picture.state.is_open
                and recorded.turn.chat_id == handle.chat_id
                and draft_id(recorded.request.id) == handle.draft_id
            )
            return next(of_draft, None)
        if not isinstance(handle, SentPhoto):
            request_id = handles.request_id(handle)
            return None if request_id is None else self._requests.get(request_id)
        of_photo = [
            recorded
            for recorded in self._requests.values()
            if recorded.turn.chat_id == handle.chat_id
            and recorded.picture.telegram_message_id == handle.message_id
        ]
        return of_photo[-1] if of_photo else None

    def _find(self, handle: Handle) -> RecordedRequest:
        if (recorded := self._found(handle)) is None:
            raise LookupError(f"there is no request {handles.spelled(handle)}")
        return recorded

    def _find_open(self, request: Request) -> RecordedRequest:
        recorded = self._find(request)
        if not recorded.picture.state.is_open:
            raise ValueError(f"{request.id} has ended before: {recorded.picture.state}")
        return recorded

    def _end(self, recorded: RecordedRequest, picture: Picture) -> None:
        self._update(recorded, picture=picture)
        self._ended[recorded.request.id].set()
        self._untold[recorded.request.id] = None
        self._is_untold.set()

    def _end_without(
        self, recorded: RecordedRequest, state: State, why: EndReason, *, message: str | None = None
    ) -> None:
        if message is None:
            language = recorded.turn.language
            message = messages.shipped().sentence(state, code=why.code, language=language)
        ended = replace(
            recorded.picture,
            state=state,
            error_code=why.code,
            message=message,
            detail=detail_of(state, why.code, why.sentence),
        )
        self._end(recorded, ended)

    def _end_of(self, recorded: RecordedRequest) -> RequestEnd:
        return RequestEnd(
            request=recorded.request,
            kind=recorded.kind,
            user_id=recorded.turn.user_id,
            chat_id=recorded.turn.chat_id,
            persona=recorded.turn.persona,
            picture=recorded.picture,
        )

    def _update(self, recorded: RecordedRequest, **changes: Any) -> None:
        self._requests[recorded.request.id] = replace(recorded, **changes)

    def _is_waiting(self, user_id: int) -> bool:
        return user_id in self._waits_until and self._clock() < self._waits_until[user_id]

    def _check_database(self) -> None:
        if self.is_database_down:
            raise DatabaseFault("the database is away")


def _is_delivered(recorded: RecordedRequest) -> bool:
    return recorded.picture.state is State.DELIVERED


def _is_open_or_delivered(recorded: RecordedRequest) -> bool:
    return recorded.picture.state.is_open or _is_delivered(recorded)


def _count_erased(erased: Sequence[RecordedRequest], *, dialogs: int) -> Forgotten:
    delivered = [each for each in erased if _is_delivered(each)]
    covers = {
        (each.turn.persona, each.cover)
        for each in erased
        # The row of a refused one names no image any more.
        if each.cover is not None and each.picture.state is not State.REFUSED
    }
    photos = [
        SentPhoto(chat_id=each.turn.chat_id, message_id=each.picture.telegram_message_id)
        for each in delivered
        if each.turn.chat_id is not None and each.picture.telegram_message_id is not None
    ]
    return Forgotten(
        requests=len(erased),
        open_requests=sum(each.picture.state.is_open for each in erased),
        deliveries=len(photos),
        dialogs=dialogs,
        pictures=len(covers) + sum(each.cover is None for each in delivered),
        photos=tuple(photos),
        unknown_sends=0,
        hosts=(),
    )


def _answer(
    key: str,
    language: str | None,
    *,
    is_refusal: bool = False,
    request: Request | None = None,
    deletes_message: bool = False,
) -> ButtonAnswer:
    return ButtonAnswer(
        text=messages.shipped().text(key, language=language),
        show_alert=is_refusal,
        request=request,
        deletes_message=deletes_message,
    )
