"""Calls over HTTP: they are logged, meet their faults, and are carried out and answered."""

import asyncio
from typing import Any

from aiohttp import web

from imagegen.sandbox.telegram.calls import CallLog
from imagegen.sandbox.telegram.chats import Chats
from imagegen.sandbox.telegram.errors import ApiError, not_found, unauthorized
from imagegen.sandbox.telegram.faults import Trouble, TroubleEnding, TroubleScript
from imagegen.sandbox.telegram.flood import CallLimiter
from imagegen.sandbox.telegram.form import MethodForm, chat_id, read_form
from imagegen.sandbox.telegram.methods import Methods

_PROXY_PAGE = "<html><head><title>No answer</title></head><body>nginx</body></html>"


class CallHandler:
    """Answers the routes of the Bot API.

    `token` may be changed. While `is_silent` no call is carried out or answered. Uploads wait while
    `takes_uploads` is not set. Without a `limiter` a bot may call as often as it likes.
    """

    def __init__(  # noqa: PLR0913 each is a part of its own
        self,
        *,
        token: str,
        chats: Chats,
        methods: Methods,
        log: CallLog,
        script: TroubleScript,
        limiter: CallLimiter | None,
        seconds_per_upload: float,
    ) -> None:
        self.is_silent = False
        self.takes_uploads = asyncio.Event()
        self.takes_uploads.set()
        self.token = token
        self._chats = chats
        self._methods = methods
        self._log = log
        self._script = script
        self._limiter = limiter
        self._seconds_per_upload = seconds_per_upload

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_route("*", "/bot{token}/{method}", self._answer)
        app.router.add_get("/file/bot{token}/{path:.+}", self._download)

    async def call(self, method: str, form: MethodForm) -> None:
        """Carry out a call that came as the answer of a webhook.

        Raises:
            ApiError: Telegram would refuse it.
        """
        place = self._log.add(method)
        self._log.update(place, chat_id=_chat_id(form), fields=form.fields)
        await self._carry_out(place, form)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        await self._heard()
        place = self._log.add(request.match_info["method"])
        try:
            form = await read_form(request)
            self._log.update(place, chat_id=_chat_id(form), fields=form.fields)
            if request.match_info["token"] != self.token:
                raise unauthorized()
            return await self._answer_form(request, form, place)
        except ApiError as refusal:
            await self._heard()
            self._log.update(place, status=refusal.status, description=refusal.description)
            return web.json_response(refusal.body, status=refusal.status)

    async def _answer_form(
        self, request: web.Request, form: MethodForm, place: int
    ) -> web.StreamResponse:
        call = self._log.calls[place]
        trouble = self._script.next_for(call.method, call.chat_id) or Trouble()
        if form.uploads:
            await asyncio.sleep(self._seconds_per_upload)
            await self.takes_uploads.wait()
        if trouble.refusal is not None:
            raise trouble.refusal
        if trouble.ending is None:
            result = await self._carry_out(place, form)
            if trouble.delay_s:
                await asyncio.sleep(trouble.delay_s)
            await self._heard()
            self._log.update(place, status=200)
            return web.json_response({"ok": True, "result": result})
        if trouble.is_accepted:
            await self._carry_out(place, form)
        return await self._end_without_answer(request, trouble, place)

    async def _carry_out(self, place: int, form: MethodForm) -> Any:
        call = self._log.calls[place]
        if self._limiter is not None:
            self._limiter.check(call.method, call.chat_id)
        result = await self._methods.answer(call.method, form)
        self._log.update(place)  # who waits for its message is woken
        return result

    async def _end_without_answer(
        self, request: web.Request, trouble: Trouble, place: int
    ) -> web.StreamResponse:
        if trouble.ending is TroubleEnding.HTML:
            self._log.update(place, status=trouble.page_status)
            return web.Response(
                status=trouble.page_status, text=_PROXY_PAGE, content_type="text/html"
            )
        if trouble.ending is TroubleEnding.HANG:
            # The task is cancelled when the caller disconnects or the server closes.
            await asyncio.Event().wait()
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def _heard(self) -> None:
        """Hang if nothing comes through; the task is cancelled like that of a fault."""
        if self.is_silent:
            await asyncio.Event().wait()

    async def _download(self, request: web.Request) -> web.Response:
        await self._heard()
        if request.match_info["token"] == self.token:
            for stored in self._chats.files.values():
                if stored.path == request.match_info["path"]:
                    return web.Response(
                        body=stored.content, content_type="application/octet-stream"
                    )
        return web.json_response(not_found().body, status=404)


def _chat_id(form: MethodForm) -> int | None:
    try:
        return chat_id(form)
    except ApiError:
        return None
