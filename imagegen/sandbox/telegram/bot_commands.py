"""The bot's commands: a list for each scope and language, and which of them a person is shown.

The scopes and their order are those of core.telegram.org/bots/api#determining-list-of-commands, the
refusals those of tdlib/telegram-bot-api. A person of the sandbox is no administrator of any group,
so lists for administrators are kept and shown to nobody.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from imagegen.sandbox.telegram import form
from imagegen.sandbox.telegram.errors import bad_request
from imagegen.sandbox.telegram.form import MethodForm

Command = dict[str, Any]

_MOST = 100
_OF_ALL = frozenset({"default", "all_private_chats", "all_group_chats", "all_chat_administrators"})
_OF_ONE_CHAT = frozenset({"chat", "chat_administrators", "chat_member"})


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Who is shown a list: all, one chat, or one member of it."""

    type: str = "default"
    chat_id: int | None = None
    user_id: int | None = None


class BotCommands:
    """Keeps the lists. `check_chat` raises ApiError for a chat that does not exist."""

    def __init__(self, check_chat: Callable[[int], None]) -> None:
        self._check_chat = check_chat
        self._lists: dict[tuple[Scope, str], list[Command]] = {}

    def set(self, call: MethodForm) -> bool:
        """Replace the list of one scope and language; an empty one is none.

        Raises:
            ApiError: a command, the scope or the language is not accepted.
        """
        commands, key = _read_commands(call), self._key(call)
        if commands:
            self._lists[key] = commands
        else:
            self._lists.pop(key, None)
        return True

    def get(self, call: MethodForm) -> list[Command]:
        """Return the list of exactly this scope and language; empty if it was not set.

        Raises:
            ApiError: the scope or the language is not accepted.
        """
        return self._lists.get(self._key(call), [])

    def delete(self, call: MethodForm) -> bool:
        """Remove the list of one scope and language, so that a wider one is shown.

        Raises:
            ApiError: the scope or the language is not accepted.
        """
        self._lists.pop(self._key(call), None)
        return True

    def shown(self, *, chat_id: int, user_id: int, language: str) -> Sequence[Command]:
        """Return what a person with this language code, such as `ru-RU`, is shown in a chat."""
        for scope in _scopes_of(chat_id, user_id):
            for code in (language.partition("-")[0].lower(), ""):
                if (commands := self._lists.get((scope, code))) is not None:
                    return commands
        return ()

    def _key(self, call: MethodForm) -> tuple[Scope, str]:
        scope = _read_scope(call)
        if scope.chat_id is not None:
            self._check_chat(scope.chat_id)
        language = call.text("language_code") or ""
        if not re.fullmatch(r"([a-z]{2})?", language):
            raise bad_request("invalid language code specified")
        return scope, language


def _scopes_of(chat_id: int, user_id: int) -> Iterator[Scope]:
    """Yield the scopes of a person in a chat, the narrowest first."""
    if chat_id < 0:
        yield Scope(type="chat_member", chat_id=chat_id, user_id=user_id)
    yield Scope(type="chat", chat_id=chat_id)
    yield Scope(type="all_group_chats" if chat_id < 0 else "all_private_chats")
    yield Scope()


def _read_commands(call: MethodForm) -> list[Command]:
    commands = call.json("commands") or []
    if not isinstance(commands, list):
        raise bad_request("expected an Array of BotCommand")
    if len(commands) > _MOST:
        raise bad_request("BOT_COMMANDS_TOO_MUCH")
    for each in commands:
        if not isinstance(each, dict):
            raise bad_request("can't parse BotCommand: expected an Object")
        if not re.fullmatch(r"[a-z0-9_]{1,32}", str(each.get("command", ""))):
            raise bad_request("BOT_COMMAND_INVALID")
        if not 1 <= len(str(each.get("description", ""))) <= 256:
            raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
    return commands


def _read_scope(call: MethodForm) -> Scope:
    described = call.json("scope")
    if described is None:
        return Scope()
    if not isinstance(described, dict):
        raise _bad_scope("BotCommandScope must be an Object")
    type_ = described.get("type")
    if type_ is None:
        raise _bad_scope('Can\'t find field "type"')
    if type_ in _OF_ALL:
        return Scope(type=type_)
    if type_ not in _OF_ONE_CHAT:
        raise _bad_scope("Unsupported type specified")
    if not described.get("chat_id"):
        raise _bad_scope("Empty chat_id specified")
    chat_id = form.chat_id(MethodForm(fields={"chat_id": str(described["chat_id"])}))
    if type_ != "chat_member":
        return Scope(type=type_, chat_id=chat_id)
    user_id = described.get("user_id")
    if not str(user_id).isdecimal() or not int(str(user_id)):
        raise _bad_scope("Invalid user_id specified")
    return Scope(type=type_, chat_id=chat_id, user_id=int(str(user_id)))


def _bad_scope(why: str) -> Exception:
    return bad_request(f"can't parse BotCommandScope: {why}")
