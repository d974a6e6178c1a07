"""The Bot API as a server: it answers calls, applies scripted faults and keeps what was sent."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Self

from aiohttp import web

from imagegen.sandbox.errors import SandboxError
from imagegen.sandbox.telegram.chats import ChatMessage, Chats
from imagegen.sandbox.telegram.dropped_port import dropped_port
from imagegen.sandbox.telegram.errors import ApiError, unauthorized
from imagegen.sandbox.telegram.faults import Trouble, TroubleEnding, TroubleScript
from imagegen.sandbox.telegram.methods import MethodForm, Methods, read_form
from imagegen.sandbox.telegram.web import add_pages

# Has the form of a token, and belongs to no bot.
FAKE_TOKEN = "42:SANDBOX-sandbox-SANDBOX-sandbox-000"  # noqa: S105 - made up
_MAX_BODY = 50 * 1024 * 1024
_PROXY_PAGE = "<html><head><title>No answer</title></head><body>nginx</body></html>"


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call to the API; `status` is None while it has no answer, or if it never gets one."""

    method: str
    when: datetime
    chat_id: int | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None
    description: str | None = None


class SandboxTelegram:
    """A Bot API that listens on 127.0.0.1 while entered, for one bot token.

    `port` 0 chooses a free one. `seconds_per_upload` is how long an upload takes. `calls`, `sent`
    and `edited` keep everything for a test or a person to look at.
    """

    def __init__(
        self, *, port: int = 0, token: str = FAKE_TOKEN, seconds_per_upload: float = 0.0
    ) -> None:
        self.token = token
        self.url = ""
        self.calls: list[Call] = []
        self.chats = Chats()
        self._port = port
        self._seconds_per_upload = seconds_per_upload
        self._methods = Methods(self.chats, bot_id=int(token.partition(":")[0]))
        self._script = TroubleScript()
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None
        self._takes_uploads = asyncio.Event()
        self._takes_uploads.set()
        # Not empty while packets are dropped.
        self._dropped_port = ExitStack()
        self._drops_packets = False

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
                f"no Telegram on 127.0.0.1:{self._port}: {error.strerror}"
            ) from error
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._dropped_port.close()
        self._drops_packets = False
        if self._runner is not None:
            await self._runner.cleanup()

    @contextmanager
    def holding_uploads(self) -> Iterator[None]:
        """Leave uploads without an answer while the block runs; they go on after it."""
        self._takes_uploads.clear()
        try:
            yield
        finally:
            self._takes_uploads.set()

    async def drop_packets(self) -> None:
        """Be as behind a firewall that drops packets, until `pass_packets`.

        A connect gets no answer, and neither does a call over a connection that is open already;
        no such call is executed. May be called twice.
        """
        if self._drops_packets or self._runner is None or self._site is None:
            return
        port = self._runner.addresses[0][1]
        self._drops_packets = True
        await self._site.stop()
        self._dropped_port.enter_context(dropped_port(port))

    async def pass_packets(self) -> None:
        """End `drop_packets`. Calls that had no answer get none. May be called twice."""
        if not self._drops_packets or self._runner is None:
            return
        self._dropped_port.close()
        await self._listen(self._runner, int(self.url.rpartition(":")[2]))
        self._drops_packets = False

    async def _listen(self, runner: web.AppRunner, port: int) -> None:
        self._site = web.TCPSite(runner, "127.0.0.1", port)
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

        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(lambda: len(found()) >= count)
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

        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(lambda: len(found()) >= count)
        return found()

    def script(
        self, *troubles: Trouble, chat_id: int | None = None, method: str | None = None
    ) -> None:
        """Apply each fault to one of the next calls, or of those to that chat or method."""
        self._script.add(troubles, chat_id=chat_id, method=method)

    def calm(self) -> None:
        """Remove all scripted faults that have not happened yet."""
        self._script.clear()

    def write(self, chat_id: int, text: str, *, message_id: int | None = None) -> int:
        """Write a message as a person; returns its id, which the bot can reply to."""
        return self.chats.write(chat_id, text, message_id)

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
        app.router.add_route("*", "/bot{token}/{method}", self._call)
        add_pages(app, self.chats)
        return app

    async def _call(self, request: web.Request) -> web.StreamResponse:
        if self._drops_packets:
            await asyncio.Event().wait()
        method, position = request.match_info["method"], len(self.calls)
        self.calls.append(Call(method=method, when=datetime.now(UTC)))
        try:
            form = await read_form(request)
            await self._record(position, chat_id=_chat_id(form), fields=form.fields)
            if request.match_info["token"] != self.token:
                raise unauthorized()
            return await self._answer(request, form, position)
        except ApiError as refusal:
            await self._record(position, status=refusal.status, description=refusal.description)
            return web.json_response(refusal.body, status=refusal.status)

    async def _answer(
        self, request: web.Request, form: MethodForm, position: int
    ) -> web.StreamResponse:
        call = self.calls[position]
        trouble = self._script.next_for(call.method, call.chat_id)
        if form.uploads:
            await asyncio.sleep(self._seconds_per_upload)
            await self._takes_uploads.wait()
        if trouble is None:
            result = self._methods.answer(call.method, form)
            await self._record(position, status=200)
            return web.json_response({"ok": True, "result": result})
        if trouble.refusal is not None:
            raise trouble.refusal
        if trouble.is_accepted:
            self._methods.answer(call.method, form)
            await self._record(position)
        return await self._end_without_answer(request, trouble, position)

    async def _end_without_answer(
        self, request: web.Request, trouble: Trouble, position: int
    ) -> web.StreamResponse:
        if trouble.ending is TroubleEnding.HTML:
            await self._record(position, status=trouble.page_status)
            return web.Response(
                status=trouble.page_status, text=_PROXY_PAGE, content_type="text/html"
            )
        if trouble.ending is TroubleEnding.HANG:
            # The task is cancelled when the caller disconnects or the server closes.
            await asyncio.Event().wait()
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def _record(self, position: int, **changes: Any) -> None:
        """Update the record of a call, and wake those who wait for calls or messages."""
        async with self._changed:
            self.calls[position] = replace(self.calls[position], **changes)
            self._changed.notify_all()


def _chat_id(form: MethodForm) -> int | None:
    try:
        return form.number("chat_id")
    except ApiError:
        return None
