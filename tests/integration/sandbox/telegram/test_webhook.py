"""What people do comes to the bot's webhook, in order, and again until it is taken."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import MultipartWriter, web

from imagegen.sandbox.telegram import SandboxTelegram
from tests.support.bot_api import BotApi, png
from tests.support.patience import PATIENCE_S

ANNA = 1001
BORIS = 1002


class Webhook:
    """A bot's web server: it keeps what comes, and answers by script."""

    def __init__(self) -> None:
        self.url = ""
        self.texts: list[str] = []
        self.secrets: list[str | None] = []
        self.answers: deque[web.Response] = deque()
        self.came = asyncio.Condition()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def take(self, request: web.Request) -> web.Response:
        update = await request.json()
        async with self.came:
            self.texts.append(update["message"]["text"])
            self.secrets.append(request.headers.get("X-Telegram-Bot-Api-Secret-Token"))
            self.came.notify_all()
        await self.may_answer.wait()
        return self.answers.popleft() if self.answers else web.Response()

    async def wait_for(self, count: int) -> list[str]:
        async with asyncio.timeout(PATIENCE_S), self.came:
            await self.came.wait_for(lambda: len(self.texts) >= count)
        return self.texts


@pytest.fixture
async def webhook() -> AsyncIterator[Webhook]:
    served = Webhook()
    app = web.Application()
    app.router.add_post("/hook", served.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield served
    served.may_answer.set()
    await runner.cleanup()


async def test_an_update_comes_with_the_secret_and_then_no_more(
    telegram: SandboxTelegram, api: BotApi, webhook: Webhook
) -> None:
    telegram.person(ANNA).write("before")
    await api.call("setWebhook", url=webhook.url, secret_token="s-1")
    telegram.person(ANNA).write("after")

    texts = await webhook.wait_for(2)

    assert texts == ["before", "after"]
    assert webhook.secrets == ["s-1", "s-1"]


async def test_a_failed_delivery_is_repeated_and_keeps_the_order_of_its_chat(
    telegram: SandboxTelegram, api: BotApi, webhook: Webhook
) -> None:
    webhook.answers += [web.Response(status=500), web.Response(status=503)]
    await api.call("setWebhook", url=webhook.url)
    for text in ("a", "b"):
        telegram.person(ANNA).write(text)

    texts = await webhook.wait_for(4)

    assert texts == ["a", "a", "a", "b"]
    info = await api.call("getWebhookInfo")
    message = info["last_error_message"]
    assert message == "Wrong response from the webhook: 503 Service Unavailable"


async def test_a_chat_does_not_wait_for_another(
    telegram: SandboxTelegram, api: BotApi, webhook: Webhook
) -> None:
    webhook.may_answer.clear()
    await api.call("setWebhook", url=webhook.url)
    telegram.person(ANNA).write("anna 1")
    telegram.person(ANNA).write("anna 2")
    telegram.person(BORIS).write("boris")

    texts = await webhook.wait_for(2)

    assert sorted(texts) == ["anna 1", "boris"]
    assert (await api.call("getWebhookInfo"))["pending_update_count"] == 3


async def test_a_webhook_that_is_not_there_loses_nothing(
    telegram: SandboxTelegram, api: BotApi, webhook: Webhook
) -> None:
    await api.call("setWebhook", url="http://127.0.0.1:9/hook")
    telegram.person(ANNA).write("hello")

    await api.call("setWebhook", url=webhook.url)

    assert await webhook.wait_for(1) == ["hello"]


async def test_polling_and_a_webhook_exclude_each_other(
    telegram: SandboxTelegram, api: BotApi, webhook: Webhook
) -> None:
    poll = asyncio.create_task(api.refusal("getUpdates", timeout=20))
    await telegram.wait_for_calls(1, timeout=5)
    await api.call("setWebhook", url=webhook.url)

    assert await poll == "Conflict: terminated by setWebhook request"
    assert await api.refusal("getUpdates") == (
        "Conflict: can't use getUpdates method while webhook is active; "
        "use deleteWebhook to delete the webhook first"
    )
    await api.call("deleteWebhook")
    assert await api.call("getUpdates") == []
    assert (await api.call("getWebhookInfo"))["url"] == ""


def reply_as_json() -> web.Response:
    fields = {"method": "sendMessage", "chat_id": ANNA, "text": "hi"}
    return web.json_response(fields)


def reply_as_form() -> web.Response:
    form = MultipartWriter("form-data")
    for name, value in {"method": "sendPhoto", "chat_id": str(ANNA)}.items():
        form.append(value).set_content_disposition("form-data", name=name)
    form.append(png()).set_content_disposition("form-data", name="photo", filename="a.png")
    return web.Response(body=form)


@pytest.mark.parametrize("reply", [reply_as_json, reply_as_form])
async def test_a_call_in_the_answer_of_the_webhook_is_done(
    telegram: SandboxTelegram,
    api: BotApi,
    webhook: Webhook,
    reply: Callable[[], web.Response],
) -> None:
    webhook.answers.append(reply())
    await api.call("setWebhook", url=webhook.url)

    telegram.person(ANNA).write("hello")

    [message] = await telegram.wait_for(1, timeout=PATIENCE_S)
    assert (message.text, message.photo) in {("hi", None), (None, png())}


@pytest.mark.parametrize(
    ("fields", "description"),
    [
        ({"url": "here"}, "Bad Request: invalid webhook URL specified"),
        ({"secret_token": "a b"}, "Bad Request: secret token contains unallowed characters"),
        ({"secret_token": "a" * 257}, "Bad Request: secret token is too long"),
    ],
)
async def test_a_wrong_webhook_is_refused(
    api: BotApi, webhook: Webhook, fields: dict[str, str], description: str
) -> None:
    assert await api.refusal("setWebhook", **{"url": webhook.url, **fields}) == description
