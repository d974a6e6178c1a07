"""Delivery of updates to a webhook: one at a time for each chat, and again until it is taken."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from imagegen.sandbox.telegram.errors import ApiError
from imagegen.sandbox.telegram.events import Changes
from imagegen.sandbox.telegram.form import MethodForm, Upload, json_fields
from imagegen.sandbox.telegram.updates import Update, UpdateQueue, Webhook

_SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a header's name
_REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=60)
_MAX_RETRY_AFTER_S = 3600.0
_LONGEST_DELAY_S = 60.0


class WebhookDelivery:
    """Sends the updates of a queue to its webhook, while `run` runs.

    A webhook may answer with a method call, which is done as if it had been called; what becomes of
    it the bot does not learn. After a failure the next attempt comes `retry_s` later, then twice as
    long, up to a minute, or when `Retry-After` says.
    """

    def __init__(
        self,
        updates: UpdateQueue,
        changes: Changes,
        *,
        call: Callable[[str, MethodForm], Awaitable[Any]],
        retry_s: float,
    ) -> None:
        self._updates = updates
        self._changes = changes
        self._call = call
        self._retry_s = retry_s
        self._busy_chats: set[int] = set()
        self._last_error: tuple[int, str] | None = None

    @property
    def info(self) -> dict[str, Any]:
        """The answer of getWebhookInfo."""
        webhook = self._updates.webhook
        found: dict[str, Any] = {
            "url": webhook.url if webhook else "",
            "has_custom_certificate": False,
            "pending_update_count": len(self._updates.pending),
        }
        if webhook is not None:
            found["max_connections"] = webhook.max_connections
        if self._updates.allowed is not None:
            found["allowed_updates"] = sorted(self._updates.allowed)
        if self._last_error is not None:
            date, message = self._last_error
            found |= {"last_error_date": date, "last_error_message": message}
        return found

    async def run(self) -> None:
        """Deliver until it is cancelled."""
        async with (
            aiohttp.ClientSession(timeout=_REQUEST_TIMEOUT) as session,
            asyncio.TaskGroup() as group,
        ):
            while True:
                webhook, update = await self._changes.wait_for(self._next)
                self._busy_chats.add(update.chat_id)
                group.create_task(
                    self._deliver(session, webhook, update), name=f"update {update.number}"
                )

    def _next(self) -> tuple[Webhook, Update] | None:
        webhook = self._updates.webhook
        if webhook is None or len(self._busy_chats) >= webhook.max_connections:
            return None
        for update in self._updates.pending:
            if update.chat_id not in self._busy_chats:
                return webhook, update
        return None

    async def _deliver(
        self, session: aiohttp.ClientSession, webhook: Webhook, update: Update
    ) -> None:
        delay_s = self._retry_s
        try:
            while self._updates.webhook == webhook and update in self._updates.pending:
                retry_after_s = await self._attempt(session, webhook, update)
                if retry_after_s is None:
                    self._updates.confirm(update)
                    return
                await asyncio.sleep(retry_after_s or delay_s)
                delay_s = min(delay_s * 2, _LONGEST_DELAY_S)
        finally:
            self._busy_chats.discard(update.chat_id)
            self._changes.notify()

    async def _attempt(
        self, session: aiohttp.ClientSession, webhook: Webhook, update: Update
    ) -> float | None:
        """Send an update once.

        Returns None if it was taken, else the seconds that the webhook asks to wait, or 0.
        """
        headers = {_SECRET_HEADER: webhook.secret_token} if webhook.secret_token else {}
        try:
            async with session.post(
                webhook.url, json=update.described, headers=headers, allow_redirects=False
            ) as answer:
                if answer.ok:
                    await self._do_reply(answer)
                    return None
                self._failed(f"Wrong response from the webhook: {answer.status} {answer.reason}")
                return _seconds(answer.headers.get("Retry-After", ""))
        except TimeoutError:
            self._failed("Read timeout expired")
        except aiohttp.ClientConnectorError:
            self._failed("Connection refused")
        except aiohttp.ClientError:
            self._failed("Webhook connection closed")
        return 0.0

    def _failed(self, message: str) -> None:
        self._last_error = (int(time.time()), message)

    async def _do_reply(self, answer: aiohttp.ClientResponse) -> None:
        try:
            form = await _reply_form(answer)
            method = form.text("method") or ""
            if method and not method.lower().startswith(("get", "setwebhook", "deletewebhook")):
                await self._call(method, form)
        except ApiError:
            pass  # Telegram keeps it for itself too


async def _reply_form(answer: aiohttp.ClientResponse) -> MethodForm:
    if answer.content_type == "application/json":
        return MethodForm(fields=json_fields(await answer.read()))
    if answer.content_type != "multipart/form-data":
        return MethodForm()
    fields, uploads = {}, {}
    async for part in aiohttp.MultipartReader.from_response(answer):
        if not isinstance(part, aiohttp.BodyPartReader) or not part.name:
            continue
        if part.filename:
            uploads[part.name] = Upload(name=part.filename, content=bytes(await part.read()))
        else:
            fields[part.name] = await part.text()
    return MethodForm(fields=fields, uploads=uploads)


def _seconds(retry_after: str) -> float:
    return min(float(retry_after), _MAX_RETRY_AFTER_S) if retry_after.isdecimal() else 0.0
