"""Makes requests of the pictures that still wait in the Redis lists of a Celery service."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from redis.asyncio import Redis
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook.outbox import Request, lock_dialog, new_request_row, read_ownership
from chatflow_hook.tables import ImageRequest, Kind
from chatflow_hook.turn import Turn
from imagegen.db.engine import run_in_transaction
from imagegen.errors import Rejected
from imagegen.maintenance.celery_messages import (
    NotAMessage,
    NotAPicture,
    PictureTask,
    parse,
    picture_of,
)
from imagegen.workflows.library import Library

# kombu's names. A message that a worker has taken is in the hash until the worker begins the task.
_UNACKED = "unacked"
_UNACKED_INDEX = "unacked_index"
# It separates the name of a queue from a priority in the name of a list.
_PRIORITY_MARK = "\x06\x16"
# Where a message lies until its request is committed, so that neither Celery takes it nor a crash
# loses it. The next import finds it here.
_IMPORTING = "imagegen:importing"
# They return 0 if the message is not there any more.
_TAKE_FROM_LIST = """
if redis.call('LREM', KEYS[1], -1, ARGV[1]) == 0 then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[1])
return 1
"""
_TAKE_FROM_UNACKED = """
if redis.call('HDEL', KEYS[1], ARGV[2]) == 0 then return 0 end
redis.call('ZREM', KEYS[3], ARGV[2])
redis.call('LPUSH', KEYS[2], ARGV[1])
return 1
"""

_COLUMNS = text(
    "SELECT table_name || '.' || column_name FROM information_schema.columns"
    " WHERE table_schema = current_schema() AND table_name IN ('dialogs', 'personas')"
)
_PERSONA_COLUMNS = {"dialogs.persona_id", "personas.id", "personas.key"}
_OF_USER = text(
    "SELECT id FROM dialogs WHERE user_id = :user_id"
    " ORDER BY last_image_generation_at DESC NULLS LAST, id DESC LIMIT 1"
)
_OF_PERSONA = text(
    "SELECT dialogs.id FROM dialogs LEFT JOIN personas ON personas.id = persona_id"
    " WHERE user_id = :user_id"
    " ORDER BY coalesce(personas.key = :persona, false) DESC,"
    " last_image_generation_at DESC NULLS LAST, dialogs.id DESC LIMIT 1"
)


@dataclass(frozen=True, kw_only=True)
class ImportedEntry:
    """What became of one message: a request, or `why` not.

    `request_id` is that of the request, None if there is none. `is_new` is False for a message
    that was imported earlier.
    """

    queue: str
    task_id: str
    task: str
    persona: str | None = None
    chat_id: int | None = None
    request_id: UUID | None = None
    is_new: bool = False
    why: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A message where it lies: in a list, or under a tag in the hash of what was taken."""

    key: bytes
    message: bytes
    tag: bytes | None = None

    @property
    def queue(self) -> str:
        return self.key.decode(errors="replace").partition(_PRIORITY_MARK)[0]


class CeleryImport:
    """Reads the messages of one Redis database, and makes a request of each that is a picture.

    The request has an id made of the task's, so a message that is read twice makes one request.
    A message leaves Celery's list before its request is committed, and Redis after that, so a
    worker of Celery that still runs does not draw it as well. What cannot be imported stays.
    With `is_dry_run` nothing is written. `takes_unacked`: also import what a worker had taken and
    not begun, which is right only once that worker has stopped.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        redis: Redis,
        library: Library,
        *,
        is_dry_run: bool = False,
        takes_unacked: bool = False,
    ) -> None:
        self._engine = engine
        self._redis = redis
        # Untyped, and so for bytes too.
        self._call: Callable[..., Awaitable[Any]] = redis.execute_command
        self._library = library
        self._dialogs = _Dialogs(engine)
        self._is_dry_run = is_dry_run
        self._takes_unacked = takes_unacked

    async def run(self) -> AsyncIterator[ImportedEntry]:
        """Import all messages, the oldest of each list first, and yield what became of each.

        Raises:
            RedisError: Redis cannot be reached.
            Unavailable: PostgreSQL cannot be reached.
        """
        for entry in await self._entries():
            try:
                message = parse(entry.message)
            except NotAMessage:
                continue  # of another program
            outcome = ImportedEntry(queue=entry.queue, task_id=message.task_id, task=message.task)
            try:
                picture = picture_of(message, now=datetime.now(UTC))
                outcome = replace(outcome, persona=picture.persona, chat_id=picture.chat_id)
                self._library.find(picture.persona)
                dialog_id = await self._dialogs.find(picture)
                await self._take_from_celery(entry)
            except (NotAPicture, Rejected) as error:
                yield replace(outcome, why=str(error))
                continue
            is_new = await self._import(entry, picture, dialog_id)
            yield replace(outcome, request_id=picture.request_id, is_new=is_new)

    async def _take_from_celery(self, entry: _Entry) -> None:
        """Move a message to where only an import finds it.

        Raises:
            NotAPicture: a worker of Celery has taken it.
        """
        if entry.tag is not None and not self._takes_unacked:
            raise NotAPicture("a Celery worker has taken it: stop the worker, and give --taken")
        if self._is_dry_run or entry.key == _IMPORTING.encode():
            return
        keys = (entry.key, _IMPORTING, _UNACKED_INDEX)
        if entry.tag is None:
            is_taken = await self._call("EVAL", _TAKE_FROM_LIST, 3, *keys, entry.message)
        else:
            is_taken = await self._call(
                "EVAL", _TAKE_FROM_UNACKED, 3, *keys, entry.message, entry.tag
            )
        if not is_taken:
            raise NotAPicture("a Celery worker took it in this moment")

    async def _import(self, entry: _Entry, picture: PictureTask, dialog_id: int) -> bool:
        """Make the request unless it is there; return whether it was not."""

        async def step(connection: AsyncConnection) -> bool:
            if self._is_dry_run:
                known = select(ImageRequest.id).where(ImageRequest.id == picture.request_id)
                return (await connection.execute(known)).one_or_none() is None
            turn = _turn(picture, dialog_id)
            await lock_dialog(connection, turn, await read_ownership(connection))
            row = _row(turn, picture.request_id)
            added = insert(ImageRequest).values(row).on_conflict_do_nothing()
            returned = await connection.execute(added.returning(ImageRequest.id))
            return returned.one_or_none() is not None

        is_new = await run_in_transaction(self._engine, step)
        if not self._is_dry_run:
            await self._call("LREM", _IMPORTING, 1, entry.message)
        return is_new

    async def _entries(self) -> Sequence[_Entry]:
        entries = [
            _Entry(key=_UNACKED.encode(), message=_unacked_message(value), tag=tag)
            for tag, value in (await self._call("HGETALL", _UNACKED)).items()
        ]
        lists = [key async for key in self._redis.scan_iter(_type="list")]
        for key in sorted(lists):
            values = await self._call("LRANGE", key, 0, -1)
            # kombu takes from the end.
            entries += [_Entry(key=key, message=value) for value in reversed(values)]
        return entries


class _Dialogs:
    """Finds the dialog of a picture, which Celery's message does not name.

    It has to exist, since a request whose dialog is gone is cancelled.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def find(self, picture: PictureTask) -> int:
        """Return the user's dialog with this persona, or else the one with the newest picture.

        If the table `dialogs` is ours, it is a dialog of the user's imported pictures alone.

        Raises:
            NotAPicture: the user has no dialog, or the bot's table does not say whose one is.
        """

        async def step(connection: AsyncConnection) -> int | None:
            if (await read_ownership(connection)).dialogs:
                return -picture.user_id  # no dialog of a bot has a negative id
            columns = set((await connection.execute(_COLUMNS)).scalars())
            if "dialogs.user_id" not in columns:
                raise NotAPicture("the table dialogs has no user_id, so its dialog is unknown")
            query = _OF_USER.bindparams(user_id=picture.user_id)
            if columns >= _PERSONA_COLUMNS:
                query = _OF_PERSONA.bindparams(user_id=picture.user_id, persona=picture.persona)
            return (await connection.execute(query)).scalar_one_or_none()

        dialog_id = await run_in_transaction(self._engine, step)
        if dialog_id is None:
            raise NotAPicture("its user has no dialog any more")
        return dialog_id


def _unacked_message(value: bytes) -> bytes:
    """Return the message of an entry that a worker has taken: JSON of it and where it came from."""
    try:
        message, *_ = json.loads(value)
    except (ValueError, TypeError):
        return b""
    return json.dumps(message).encode()


def _turn(picture: PictureTask, dialog_id: int) -> Turn:
    return Turn(
        dialog_id=dialog_id,
        user_id=picture.user_id,
        chat_id=picture.chat_id,
        chat_type="private" if picture.chat_id == picture.user_id else None,
        persona=picture.persona,
        text="",
        prompt=picture.prompt,
    )


def _row(turn: Turn, request_id: UUID) -> dict[str, Any]:
    # With a count of 0 it moves no watermark: the service did so when it queued the task.
    request = Request(id=request_id, dialog_id=turn.dialog_id, message_count=0)
    return new_request_row(turn, request, Kind.ASKED)
