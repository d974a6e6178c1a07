"""The Bot API as a server: it answers calls, applies scripted faults and keeps what was sent."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Self

from aiohttp import web

from imagegen.sandbox.errors import SandboxError
from imagegen.sandbox.telegram.call_handler import CallHandler
from imagegen.sandbox.telegram.calls import Call, CallLog
from imagegen.sandbox.telegram.chat_routes import ChatRoutes
from imagegen.sandbox.telegram.chats import DRAFT_LIFETIME_S, Chats
from imagegen.sandbox.telegram.dropped_port import dropped_port
from imagegen.sandbox.telegram.events import Changes, ChatEvents
from imagegen.sandbox.telegram.faults import ScriptedTrouble, Trouble, TroubleScript
from imagegen.sandbox.telegram.flood import CallLimiter, FloodLimits
from imagegen.sandbox.telegram.form import MethodForm
from imagegen.sandbox.telegram.message import ChatMessage
from imagegen.sandbox.telegram.methods import Methods
from imagegen.sandbox.telegram.person import CallbackQueries, ChatPerson
from imagegen.sandbox.telegram.updates import UpdateQueue
from imagegen.sandbox.telegram.web import add_pages
from imagegen.sandbox.telegram.webhook import WebhookDelivery

# Has the form of a token, and belongs to no bot.
FAKE_TOKEN = "42:SANDBOX-sandbox-SANDBOX-sandbox-000"  # noqa: S105 - made up
_MAX_BODY = 50 * 1024 * 1024


class SandboxTelegram:
    """A Bot API that listens while entered, on 127.0.0.1 unless told otherwise, for one bot token.

    `port` 0 chooses a free one. `seconds_per_upload` is how long an upload takes. Without
    `flood_limits` a bot may call as often as it likes. A draft is gone after `draft_lifetime_s`, a
    failed delivery to a webhook is repeated after `webhook_retry_s`. `calls`, `sent` and `edited`
    keep everything for a test or a person to look at.
    """

    def __init__(  # noqa: PLR0913 - each has a default
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str = FAKE_TOKEN,
        seconds_per_upload: float = 0.0,
        flood_limits: FloodLimits | None = None,
        draft_lifetime_s: float = DRAFT_LIFETIME_S,
        webhook_retry_s: float = 1.0,
    ) -> None:
        self.url = ""
        bot = {
            "id": int(token.partition(":")[0]),
            "is_bot": True,
            "first_name": "Sandbox",
            "username": "sandboxbot",
        }
        self._changes = Changes()
        self._log = CallLog(self._changes)
        self._events = ChatEvents(self._changes)
        self.chats = Chats(bot=bot, events=self._events, draft_lifetime_s=draft_lifetime_s)
        self._updates = UpdateQueue(self._changes)
        self._callbacks = CallbackQueries(self._changes, self._events)
        self._webhook = WebhookDelivery(
            self._updates, self._changes, call=self._call_from_webhook, retry_s=webhook_retry_s
        )
        methods = Methods(
            bot=bot,
            chats=self.chats,
            updates=self._updates,
            callbacks=self._callbacks,
            webhook=self._webhook,
        )
        self._script = TroubleScript()
        self._handler = CallHandler(
            token=token,
            chats=self.chats,
            methods=methods,
            log=self._log,
            script=self._script,
            limiter=CallLimiter(flood_limits) if flood_limits else None,
            seconds_per_upload=seconds_per_upload,
        )
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None
        self._deliveries: asyncio.Task[None] | None = None
        # Not empty while packets are dropped.
        self._dropped_port = ExitStack()

    @property
    def token(self) -> str:
        """The bot's token; another one may be set, as when its owner revokes it."""
        return self._handler.token

    @token.setter
    def token(self, token: str) -> None:
        self._handler.token = token

    @property
    def calls(self) -> list[Call]:
        """The calls to the API, in the order in which they came."""
        return self._log.calls

    @property
    def sent(self) -> list[ChatMessage]:
        """The messages that the bot sent, as they were before any edit."""
        return self.chats.sent

    @property
    def edited(self) -> list[ChatMessage]:
        """The results of edits, in the order of the edits."""
        return self.chats.edited

    async def __aenter__(self) -> Self:
        self._runner = web.AppRunner(
            self._app(), access_log=None, shutdown_timeout=0.5, handler_cancellation=True
        )
        await self._runner.setup()
        try:
            await self._listen(self._runner, self._port)
        except OSError as error:
            await self._runner.cleanup()
            raise SandboxError(
                f"no Telegram on {self._host}:{self._port}: {error.strerror}"
            ) from error
        self.url = f"http://{self._host}:{self._runner.addresses[0][1]}"
        self._deliveries = asyncio.create_task(self._webhook.run(), name="sandbox webhook")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._dropped_port.close()
        self._handler.is_silent = False
        if self._deliveries is not None:
            self._deliveries.cancel()
            await asyncio.wait({self._deliveries})
        if self._runner is not None:
            await self._runner.cleanup()
        if self._deliveries is not None and not self._deliveries.cancelled():
            self._deliveries.result()  # an error of ours

    @contextmanager
    def holding_uploads(self) -> Iterator[None]:
        """Leave uploads without an answer while the block runs; they go on after it."""
        self._handler.takes_uploads.clear()
        try:
            yield
        finally:
            self._handler.takes_uploads.set()

    async def drop_packets(self) -> None:
        """Be as behind a firewall that drops packets, until `pass_packets`.

        A connect gets no answer, and neither does a call over a connection that is open already;
        no such call is executed. May be called twice.
        """
        if self._handler.is_silent or self._runner is None or self._site is None:
            return
        port = self._runner.addresses[0][1]
        self._handler.is_silent = True
        await self._site.stop()
        self._dropped_port.enter_context(dropped_port(port))

    async def pass_packets(self) -> None:
        """End `drop_packets`. Calls that had no answer get none. May be called twice."""
        if not self._handler.is_silent or self._runner is None:
            return
        self._dropped_port.close()
        await self._listen(self._runner, int(self.url.rpartition(":")[2]))
        self._handler.is_silent = False

    async def _listen(self, runner: web.AppRunner, port: int) -> None:
        self._site = web.TCPSite(runner, self._host, port)
        await self._site.start()

    async def wait_for(
        self,
        count: int,
        *,
        timeout: float,  # noqa: ASYNC109 - the wait ends here, with TimeoutError
        method: str | None = None,
    ) -> list[ChatMessage]:
        """Wait until `count` messages were sent, and return them all.

        With a `method` only messages of that method count, also of an edit method.

        Raises:
            TimeoutError: `timeout` seconds passed.
        """

        def found() -> list[ChatMessage]:
            if method is None:
                return list(self.sent)
            return [each for each in (*self.sent, *self.edited) if each.method == method]

        async with asyncio.timeout(timeout):
            await self._changes.wait_for(lambda: len(found()) >= count)
        return found()

    async def wait_for_calls(
        self,
        count: int,
        *,
        timeout: float,  # noqa: ASYNC109 - the wait ends here, with TimeoutError
        method: str | None = None,
    ) -> list[Call]:
        """Wait until there are `count` calls, answered or not, and return them all.

        Raises:
            TimeoutError: `timeout` seconds passed.
        """

        def found() -> list[Call]:
            return [call for call in self.calls if method in {None, call.method}]

        async with asyncio.timeout(timeout):
            await self._changes.wait_for(lambda: len(found()) >= count)
        return found()

    def script(
        self,
        *troubles: Trouble,
        chat_id: int | None = None,
        method: str | None = None,
        times: int | None = 1,
    ) -> None:
        """Apply each fault to one of the next calls, or of those to that chat or method.

        Without a method getUpdates is passed over. `times` None is for ever.
        """
        self.add_faults(
            *[
                ScriptedTrouble(trouble=each, chat_id=chat_id, method=method, times=times)
                for each in troubles
            ]
        )

    def add_faults(self, *faults: ScriptedTrouble) -> None:
        """Add faults as `imagegen.sandbox.telegram.fault_text.parse_fault` reads them."""
        self._script.add(*faults)

    def calm(self) -> None:
        """Remove all scripted faults that have not happened yet."""
        self._script.clear()

    def person(
        self,
        user_id: int,
        *,
        chat_id: int | None = None,
        name: str | None = None,
        language_code: str = "en",
    ) -> ChatPerson:
        """Return a person who writes, presses and sees, in the private chat unless told otherwise."""
        return ChatPerson(
            chats=self.chats,
            updates=self._updates,
            callbacks=self._callbacks,
            user_id=user_id,
            chat_id=user_id if chat_id is None else chat_id,
            name=name,
            language_code=language_code,
        )

    def write(self, chat_id: int, text: str, *, message_id: int | None = None) -> int:
        """Write a message as the person of a private chat, or somebody of a group.

        Returns its id, which the bot can reply to.
        """
        return self.person(abs(chat_id), chat_id=chat_id).write(text, message_id=message_id)

    def promote(self, chat_id: int) -> None:
        """Make the bot an administrator of a group."""
        self.chats.administered.add(chat_id)

    def refuse_drafts(self, chat_id: int) -> None:
        """Make a chat take no drafts: sendMessageDraft gets TEXTDRAFT_PEER_INVALID."""
        self.chats.without_drafts.add(chat_id)

    def make_older(self, chat_id: int, message_id: int, by: timedelta) -> None:
        """Move a message into the past, for instance beyond the 48 hours of deleteMessage."""
        self.chats.make_older(chat_id, message_id, by)

    def block(self, chat_id: int) -> None:
        """Make the person block the bot."""
        self.chats.blocked.add(chat_id)

    def forget(self, chat_id: int) -> None:
        """Remove the chat: calls get `chat not found`."""
        self.chats.forgotten.add(chat_id)

    def know(self, *chat_ids: int) -> None:
        """Make these chats exist, and from now on no others."""
        self.chats.known = {*(self.chats.known or ()), *chat_ids}
        self.chats.forgotten -= {*chat_ids}

    def migrate(self, chat_id: int, to: int) -> None:
        """Upgrade a group to the supergroup `to`; calls to the old id get migrate_to_chat_id."""
        self.chats.migrated[chat_id] = to

    def close_topic(self, chat_id: int, topic: int) -> None:
        """Close a topic of a group: a message in it is refused."""
        self.chats.closed_topics.add((chat_id, topic))

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=_MAX_BODY)
        self._handler.add_to(app)
        routes = ChatRoutes(
            chats=self.chats, events=self._events, script=self._script, person=self.person
        )
        routes.add_to(app)
        add_pages(app, self.chats)
        return app

    async def _call_from_webhook(self, method: str, form: MethodForm) -> None:
        await self._handler.call(method, form)
