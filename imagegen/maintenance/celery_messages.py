"""Reads the messages that Celery keeps in Redis: which picture one asks for.

The form is that of kombu 5 and Celery's task protocol 2, with version 1 understood too: JSON, with
the task's arguments as JSON in base64. Pickled arguments are never read, since that runs code.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

# Of the service that we replace: a picture for a chat, and one for a bot that waits for its URL.
_SEND_TASK = "image_generator.generate_and_send"
_WAIT_TASK = "image_generator.generate_image"
_PARAMETERS = ("persona_key", "user_id", "chat_id", "prompt", "seed")

_MAX_NAME = 80
# Of users and chats.
_IDS = 2**63


class NotAMessage(ValueError):
    """It is no message of Celery."""


class NotAPicture(ValueError):
    """No request can be made of a message; the text says why, without a word of a prompt."""


@dataclass(frozen=True, kw_only=True)
class CeleryMessage:
    """A task that waits: its id, its name, its arguments as they were sent, and when it expires."""

    task_id: str
    task: str
    content_type: str
    arguments: Any
    expires: datetime | None


@dataclass(frozen=True, kw_only=True)
class PictureTask:
    """A picture for a chat; `request_id` is the same each time that its message is read."""

    request_id: UUID
    persona: str
    user_id: int
    chat_id: int
    prompt: str


def parse(raw: bytes) -> CeleryMessage:
    """Parse a message as it lies in a list of Redis.

    Raises:
        NotAMessage: it is none of Celery.
    """
    message = _json_object(raw)
    headers, properties = message.get("headers"), message.get("properties")
    if "body" not in message or not isinstance(headers, dict) or not isinstance(properties, dict):
        raise NotAMessage("it has no headers, properties and body")
    content_type = str(message.get("content-type"))
    body = _body(message["body"], properties) if content_type == "application/json" else None
    # Protocol 1 has everything in the body, protocol 2 only the arguments.
    facts = headers if "task" in headers else body
    if not isinstance(facts, dict):
        facts = {}
    if not isinstance(facts.get("id"), str):
        raise NotAMessage("it has no task id")
    return CeleryMessage(
        task_id=_shown(facts["id"]),
        task=_shown(facts.get("task")),
        content_type=content_type,
        arguments=body,
        expires=_time(facts.get("expires")),
    )


def picture_of(message: CeleryMessage, *, now: datetime) -> PictureTask:
    """Return the picture that a message asks for.

    Raises:
        NotAPicture: it asks for none, or for one that nobody can be sent any more.
    """
    if message.task == _WAIT_TASK:
        raise NotAPicture("it names no chat: the bot that asked waited for the result")
    if message.task != _SEND_TASK:
        raise NotAPicture(f"the task {message.task} is none of the image service")
    if message.content_type != "application/json":
        raise NotAPicture(f"its arguments are {message.content_type[:_MAX_NAME]} and not JSON")
    if message.expires is not None and message.expires <= now:
        raise NotAPicture(f"it expired at {message.expires:%Y-%m-%d %H:%M} UTC")
    arguments = _bound(message.arguments)
    match [arguments.get(name) for name in _PARAMETERS[:4]]:
        case [str(persona), int(user_id), int(chat_id), str(prompt)] if (
            prompt.strip() and 0 < user_id < _IDS and -_IDS < chat_id < _IDS
        ):
            return PictureTask(
                request_id=_request_id(message.task_id),
                persona=persona,
                user_id=user_id,
                chat_id=chat_id,
                prompt=prompt,
            )
    raise NotAPicture("its arguments are not persona_key, user_id, chat_id, prompt")


def _json_object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise NotAMessage("it is no JSON object")
    return value


def _body(body: Any, properties: dict[str, Any]) -> Any:
    try:
        if properties.get("body_encoding") == "base64":
            body = base64.b64decode(body)
        return json.loads(body)
    except (ValueError, TypeError, binascii.Error):
        return None  # it is compressed, or broken


def _bound(arguments: Any) -> dict[str, Any]:
    """Return the arguments by their names, those that were given by position too."""
    match arguments:
        case [[*positional], {**named}, *_] | {"args": [*positional], "kwargs": {**named}}:
            by_position: dict[Any, Any] = dict(zip(_PARAMETERS, positional, strict=False))
            return by_position | named
    return {}


def _request_id(task_id: str) -> UUID:
    try:
        return UUID(task_id)
    except ValueError:
        return uuid5(NAMESPACE_OID, f"celery:{task_id}")


def _time(value: Any) -> datetime | None:
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _shown(value: Any) -> str:
    """Return a name of a message for people and logs: one short line."""
    return "".join(char for char in str(value)[:_MAX_NAME] if char.isprintable())
