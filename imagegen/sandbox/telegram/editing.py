"""Methods that change what is in a chat: edits, deletions, reactions."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from imagegen.sandbox.telegram import errors, form
from imagegen.sandbox.telegram.chats import Chats
from imagegen.sandbox.telegram.errors import bad_request
from imagegen.sandbox.telegram.form import MethodForm
from imagegen.sandbox.telegram.message import ChatMessage
from imagegen.sandbox.telegram.sending import input_media, with_caption, with_text

_MAX_DELETED = 100

# A bot may delete a message for so long.
_DELETABLE = timedelta(hours=48)


class Editing:
    """Each method takes the form of a call, and returns its result as JSON values.

    The edits serve ordinary messages and, with `receiver_user_id`, ephemeral ones.
    """

    def __init__(self, chats: Chats) -> None:
        self._chats = chats

    def text(self, call: MethodForm) -> dict[str, Any]:
        """Answer editMessageText.

        Raises:
            ApiError: Telegram would refuse it.
        """
        old = self._own(call)
        if old.text is None:
            raise bad_request("there is no text in the message to edit")
        text = form.message_text(call)
        return self._edit("editMessageText", old, with_text(old, text), call)

    def caption(self, call: MethodForm) -> dict[str, Any]:
        """Answer editMessageCaption.

        Raises:
            ApiError: Telegram would refuse it.
        """
        old = self._own(call)
        if old.file_id is None:
            raise bad_request("there is no caption in the message to edit")
        return self._edit(
            "editMessageCaption", old, with_caption(old, form.form_caption(call)), call
        )

    def media(self, call: MethodForm) -> dict[str, Any]:
        """Answer editMessageMedia; the message keeps its `protect_content`.

        Raises:
            ApiError: Telegram would refuse it.
        """
        old = self._own(call)
        new = input_media(self._chats, old, call, call.json_object("media"))
        return self._edit("editMessageMedia", old, new, call)

    def markup(self, call: MethodForm) -> dict[str, Any]:
        """Answer editMessageReplyMarkup.

        Raises:
            ApiError: Telegram would refuse it.
        """
        old = self._own(call)
        return self._edit("editMessageReplyMarkup", old, old, call)

    def delete(self, call: MethodForm) -> bool:
        """Answer deleteMessage.

        Raises:
            ApiError: Telegram would refuse it.
        """
        chat_id = form.chat_id(call)
        self._chats.check(chat_id)
        message = self._chats.current[chat_id].get(call.number("message_id") or 0)
        if message is None:
            raise bad_request("message to delete not found")
        self._check_deletable(message)
        self._chats.delete(message)
        return True

    def delete_many(self, call: MethodForm) -> bool:
        """Answer deleteMessages, which passes over messages that are not there.

        Raises:
            ApiError: Telegram would refuse it.
        """
        chat_id, numbers = form.chat_id(call), call.json("message_ids")
        self._chats.check(chat_id)
        if not numbers:
            raise bad_request("message identifiers are not specified")
        if not isinstance(numbers, list):
            raise bad_request("expected an Array of message identifiers")
        if len(numbers) > _MAX_DELETED:
            raise bad_request("too many message identifiers specified")
        there = self._chats.current[chat_id]
        messages = [there[int(number)] for number in numbers if int(number) in there]
        for message in messages:
            self._check_deletable(message)
        for message in messages:
            self._chats.delete(message)
        return True

    def delete_ephemeral(self, call: MethodForm) -> bool:
        """Answer deleteEphemeralMessage.

        Raises:
            ApiError: there is no such message.
        """
        self._chats.delete(self._ephemeral(call, "delete"))
        return True

    def react(self, call: MethodForm) -> bool:
        """Answer setMessageReaction.

        Raises:
            ApiError: Telegram would refuse it.
        """
        chat_id = form.chat_id(call)
        self._chats.check(chat_id)
        message = self._chats.current[chat_id].get(call.number("message_id") or 0)
        if message is None:
            raise bad_request("message to react not found")
        reactions = call.json("reaction") or []
        if not isinstance(reactions, list):
            raise bad_request("expected an Array of ReactionType")
        if len(reactions) > 1:  # a bot without Premium
            raise bad_request("REACTIONS_TOO_MANY")
        if not all(isinstance(each, dict) and each.get("emoji") for each in reactions):
            raise bad_request("REACTION_INVALID")
        self._chats.react(message, [each["emoji"] for each in reactions])
        return True

    def _own(self, call: MethodForm) -> ChatMessage:
        """Return the bot's message that a call edits."""
        if call.text("receiver_user_id"):
            return self._ephemeral(call, "edit")
        chat_id = form.chat_id(call)
        self._chats.check(chat_id)
        message = self._chats.current[chat_id].get(call.number("message_id") or 0)
        if message is None:
            raise bad_request("message to edit not found")
        if message.sender is not None:
            raise bad_request("message can't be edited")
        return message

    def _ephemeral(self, call: MethodForm, purpose: str) -> ChatMessage:
        chat_id = form.chat_id(call)
        self._chats.check(chat_id)
        message = self._chats.ephemeral[chat_id].get(call.number("ephemeral_message_id") or 0)
        if message is None or message.receiver_user_id != call.number("receiver_user_id"):
            raise bad_request(f"message to {purpose} not found")
        return message

    def _edit(
        self, method: str, old: ChatMessage, new: ChatMessage, call: MethodForm
    ) -> dict[str, Any]:
        # An edit without reply_markup removes the old one.
        new = replace(new, method=method, reply_markup=form.reply_markup(call))
        if new.shows_the_same_as(old):
            raise errors.not_modified()
        return self._chats.described(self._chats.edit(new))

    def _check_deletable(self, message: ChatMessage) -> None:
        is_others = message.sender is not None and message.chat_id < 0
        if is_others and message.chat_id not in self._chats.administered:
            raise bad_request("message can't be deleted")
        if datetime.now(UTC) - message.when > _DELETABLE:
            raise bad_request("message can't be deleted for everyone")
