"""The Bot API's methods that bots need which chat and send pictures."""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from imagegen.sandbox.telegram import errors, form
from imagegen.sandbox.telegram.chats import Chats
from imagegen.sandbox.telegram.editing import Editing
from imagegen.sandbox.telegram.errors import bad_request
from imagegen.sandbox.telegram.form import MethodForm
from imagegen.sandbox.telegram.person import CallbackAnswer, CallbackQueries
from imagegen.sandbox.telegram.sending import Sending
from imagegen.sandbox.telegram.updates import UpdateQueue, Webhook
from imagegen.sandbox.telegram.webhook import WebhookDelivery

_MAX_DOWNLOAD_BYTES = 20 * 1024 * 1024
_MAX_POLL_S = 50
_MAX_NOTICE = 200
_ABILITIES = {
    "can_join_groups": True,
    "can_read_all_group_messages": True,
    "supports_inline_queries": False,
}
_NO_GIFTS = dict.fromkeys(
    (
        "unlimited_gifts",
        "limited_gifts",
        "unique_gifts",
        "premium_subscription",
        "gifts_from_channels",
    ),
    False,
)


class Methods:
    """Answers calls from the state of the chats."""

    def __init__(
        self,
        *,
        bot: Mapping[str, Any],
        chats: Chats,
        updates: UpdateQueue,
        callbacks: CallbackQueries,
        webhook: WebhookDelivery,
    ) -> None:
        self._bot = bot
        self._chats = chats
        self._updates = updates
        self._callbacks = callbacks
        self._webhook = webhook
        sending, editing = Sending(chats, callbacks), Editing(chats)
        self._by_name: dict[str, Callable[[MethodForm], Any]] = {
            "getme": lambda _: {**self._bot, **_ABILITIES},
            "getupdates": self._get_updates,
            "setwebhook": self._set_webhook,
            "deletewebhook": self._delete_webhook,
            "getwebhookinfo": lambda _: self._webhook.info,
            "sendmessage": sending.message,
            "sendphoto": lambda call: sending.media("photo", call),
            "senddocument": lambda call: sending.media("document", call),
            "sendmediagroup": sending.media_group,
            "sendmessagedraft": sending.draft,
            "sendchataction": sending.chat_action,
            "copymessage": sending.copy,
            "editmessagetext": editing.text,
            "editmessagecaption": editing.caption,
            "editmessagemedia": editing.media,
            "editmessagereplymarkup": editing.markup,
            "editephemeralmessagetext": lambda call: bool(editing.text(call)),
            "editephemeralmessagecaption": lambda call: bool(editing.caption(call)),
            "editephemeralmessagemedia": lambda call: bool(editing.media(call)),
            "editephemeralmessagereplymarkup": lambda call: bool(editing.markup(call)),
            "deletemessage": editing.delete,
            "deletemessages": editing.delete_many,
            "deleteephemeralmessage": editing.delete_ephemeral,
            "setmessagereaction": editing.react,
            "answercallbackquery": self._answer_callback_query,
            "setmycommands": chats.commands.set,
            "getmycommands": chats.commands.get,
            "deletemycommands": chats.commands.delete,
            "getchat": self._get_chat,
            "getfile": self._get_file,
        }

    async def answer(self, method: str, call: MethodForm) -> Any:
        """Return the call's result as JSON values; method names match in any case.

        All but getUpdates are done at once, even if the caller is cancelled.

        Raises:
            ApiError: Telegram would refuse the call.
        """
        found = self._by_name.get(method.lower())
        if found is None:
            raise errors.method_not_found()
        result = found(call)
        return await result if inspect.isawaitable(result) else result

    async def _get_updates(self, call: MethodForm) -> list[dict[str, Any]]:
        self._allow(call)
        updates = await self._updates.poll(
            offset=call.number("offset") or 0,
            limit=min(max(call.number("limit") or 100, 1), 100),
            timeout_s=min(max(call.number("timeout") or 0, 0), _MAX_POLL_S),
        )
        return [update.described for update in updates]

    def _set_webhook(self, call: MethodForm) -> bool:
        url, token = call.text("url") or "", call.text("secret_token") or None
        if url and not re.match(r"https?://[^/\s]+", url):
            raise bad_request("invalid webhook URL specified")
        if token is not None and len(token) > 256:
            raise bad_request("secret token is too long")
        if token is not None and not re.fullmatch(r"[\w-]+", token, re.ASCII):
            raise bad_request("secret token contains unallowed characters")
        self._allow(call)
        if call.flag("drop_pending_updates"):
            self._updates.drop_pending()
        webhook = Webhook(
            url=url,
            secret_token=token,
            max_connections=min(max(call.number("max_connections") or 40, 1), 100),
        )
        self._updates.set_webhook(webhook if url else None)
        return True

    def _delete_webhook(self, call: MethodForm) -> bool:
        if call.flag("drop_pending_updates"):
            self._updates.drop_pending()
        self._updates.set_webhook(None)
        return True

    def _allow(self, call: MethodForm) -> None:
        allowed = call.json("allowed_updates")
        if isinstance(allowed, list):
            self._updates.allowed = frozenset(allowed) or None

    def _answer_callback_query(self, call: MethodForm) -> bool:
        query = self._callbacks.find(call.text("callback_query_id") or "")
        if query is None:
            raise errors.unknown_callback_query()
        text = call.text("text") or ""
        if len(text) > _MAX_NOTICE:
            raise bad_request("MESSAGE_TOO_LONG")
        answer = CallbackAnswer(
            text=text, show_alert=call.flag("show_alert"), url=call.text("url") or ""
        )
        self._callbacks.answer(query, answer)
        return True

    def _get_chat(self, call: MethodForm) -> dict[str, Any]:
        chat_id = form.chat_id(call)
        self._chats.check(chat_id)
        return {
            **self._chats.describe_chat(chat_id),
            "accent_color_id": 0,
            "max_reaction_count": 11,
            "accepted_gift_types": _NO_GIFTS,
        }

    def _get_file(self, call: MethodForm) -> dict[str, Any]:
        file_id = call.text("file_id")
        if not file_id:
            raise bad_request("file_id not specified")
        stored = self._chats.files.get(file_id)
        if stored is None:
            raise bad_request("invalid file_id")
        if len(stored.content) > _MAX_DOWNLOAD_BYTES:
            raise bad_request("file is too big")
        return {**stored.described, "file_path": stored.path}
