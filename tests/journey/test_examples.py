"""The bots of docs/examples as people start them, on the simulated Telegram and with a worker."""

import asyncio
import json
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup
from aiohttp import ClientSession
from sqlalchemy import text

from chatflow_hook.drafts import cancel_data
from imagegen.sandbox.telegram import Trouble
from imagegen.sandbox.telegram.message import ChatMessage
from imagegen.sandbox.telegram.person import ChatPerson
from tests.support import fork_server, worker_process
from tests.support.aiogram_bot import bot_of
from tests.support.fork_server import RecordedCommand
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.product import ProductFactory, RunningProduct

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
ANNA = 1001
# Runs a program as Python does, and then prints what it remembers.
RUN = "import runpy, sys; names = runpy.run_path(sys.argv[1])"
RUN_AND_PRINT = f"{RUN}; import json; print(json.dumps(names['histories'][{ANNA}]))"

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def product(products: ProductFactory) -> AsyncIterator[RunningProduct]:
    fork_server.shared()  # its start takes seconds, which a worker of this process would not get
    async with products.start(web_port=free_port()) as product:
        yield product


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a directory with copies of the examples, in which a bot may run."""
    return shutil.copytree(EXAMPLES, tmp_path / "examples")


@dataclass
class Bot:
    """What a bot has said when it has ended: the lines of its output, its errors, its exit code."""

    output: Sequence[str] = ()
    errors: str = ""
    exit_code: int | None = None


@asynccontextmanager
async def running(
    command: Sequence[str], product: RunningProduct, home: Path, **variables: str
) -> AsyncIterator[Bot]:
    """Run a Python command with a bot's variables; at the end Ctrl-C is pressed."""
    bot = Bot()
    environment = worker_process.environment(
        product.settings,
        TELEGRAM_API_URL=product.telegram.url,
        IMAGE_TRIGGER_MIN="3",
        IMAGE_TRIGGER_MAX="3",
        ASKED_IMAGES_PER_MINUTE="2",
        **variables,
    )
    python = [sys.executable, *command]
    with RecordedCommand(fork_server.shared(), python, env=environment, cwd=home) as started:
        try:
            yield bot
        finally:
            started.process.send_signal(signal.SIGINT)
            bot.exit_code = await asyncio.to_thread(started.process.wait, PATIENCE_S)
            bot.output, bot.errors = started.stdout.splitlines(), started.stderr
            sys.stderr.write(bot.errors)  # for the report of a test that fails


async def until(check: Callable[[], Awaitable[Any]]) -> Any:
    """Return the result of a check as soon as there is one."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if result := await check():
                return result
            await asyncio.sleep(0.02)


async def talk(product: RunningProduct, anna: ChatPerson) -> ChatMessage:
    """Write messages, each of which the bot answers, until a photo comes; return the photo.

    A message is counted within a second or not at all, so that a busy machine may need more than
    three of them.
    """
    written: list[int] = []
    while not photos(product):
        written.append(anna.write(f"Shall we walk in the park, {len(written)}?"))
        await product.telegram.wait_for(len(written), timeout=PATIENCE_S, method="sendMessage")
        if len(written) >= 3:
            with suppress(TimeoutError):
                await product.telegram.wait_for(1, timeout=1, method="sendPhoto")
    assert photos(product)[0].reply_to_message_id in written
    return photos(product)[0]


async def ask(product: RunningProduct, anna: ChatPerson) -> None:
    """Write /photo, and wait for the photo that answers it."""
    asked = anna.write("/photo")

    async def is_there() -> bool:
        return any(photo.reply_to_message_id == asked for photo in photos(product))

    await until(is_there)


def photos(product: RunningProduct) -> list[ChatMessage]:
    return [message for message in product.telegram.sent if message.method == "sendPhoto"]


def answers(product: RunningProduct) -> list[ChatMessage]:
    return [message for message in product.telegram.sent if message.method == "sendMessage"]


async def until_told(product: RunningProduct) -> None:
    """Wait until the bot has taken all ends."""

    async def is_told() -> bool:
        query = "SELECT count(*) = 0 FROM image_requests WHERE told_end IS NULL"
        async with product.sessions() as session:
            return bool(await session.scalar(text(query)))

    await until(is_told)


def assert_tells_of_photos(history: Sequence[Mapping[str, str]], product: RunningProduct) -> None:
    """Check that the chat's model is told of each photo, with what is on it."""
    notes = [said["content"] for said in history if said["role"] == "system"]
    assert len(notes) == len(photos(product))
    assert all(re.fullmatch(r"\[photo delivered: Lina: .*park.*\]", note) for note in notes)


async def test_the_bot_of_forty_lines_talks_sends_photos_and_remembers_them(
    product: RunningProduct, home: Path
) -> None:
    anna = product.telegram.person(ANNA)
    async with running(["-c", RUN_AND_PRINT, "aiogram_bot.py"], product, home) as bot:
        await talk(product, anna)
        await ask(product, anna)
        await until_told(product)

    history = json.loads(bot.output[-1])
    assert bot.exit_code == 0
    assert [said["role"] for said in history[:2]] == ["user", "assistant"]
    assert_tells_of_photos(history, product)


async def test_the_bot_on_python_telegram_bot_talks_varies_and_knows_its_limits(
    product: RunningProduct, home: Path
) -> None:
    anna = product.telegram.person(ANNA)
    async with running(["-c", RUN_AND_PRINT, "python_telegram_bot.py"], product, home) as bot:
        photo = await talk(product, anna)
        await until_told(product)
        count = len(answers(product))
        anna.write("/another", reply_to=answers(product)[0].message_id)
        await product.telegram.wait_for(count + 1, timeout=PATIENCE_S, method="sendMessage")
        for _ in range(2):
            anna.write("/another", reply_to=photo.message_id)
        await product.telegram.wait_for(3, timeout=PATIENCE_S, method="sendPhoto")
        anna.write("/photo")
        await product.telegram.wait_for(count + 2, timeout=PATIENCE_S, method="sendMessage")
        await until_told(product)

    refusal, limited = answers(product)[count:]
    assert bot.exit_code == 0
    assert refusal.text == "I have no other one of that."
    assert re.search(r"The next one is free at \d\d:\d\d UTC\.$", limited.text or "")
    assert limited.entities
    assert_tells_of_photos(json.loads(bot.output[-1]), product)


async def test_the_bot_on_python_telegram_bot_asks_the_age_takes_presses_and_forgets(
    products: ProductFactory, home: Path
) -> None:
    fork_server.shared()
    async with products.start(
        max_rating="suggestive", delivery_buttons="another,hide", delivery_captions=False
    ) as product:
        anna, telegram = product.telegram.person(ANNA), product.telegram
        command = ["-c", RUN, "python_telegram_bot.py"]
        async with running(command, product, home, RATING="suggestive") as bot:
            anna.write("Hello")
            [_, question] = await telegram.wait_for(2, timeout=PATIENCE_S, method="sendMessage")
            anna.press(question.message_id, "Yes, I am 18 or older")
            await telegram.wait_for(1, timeout=PATIENCE_S, method="editMessageText")
            is_adult = await product.hook.has_confirmed_age(ANNA)
            anna.write("/photo at the sea")
            [photo] = await telegram.wait_for(1, timeout=PATIENCE_S, method="sendPhoto")
            anna.press(photo.message_id, "Another one")
            [_, varied] = await telegram.wait_for(2, timeout=PATIENCE_S, method="sendPhoto")
            anna.press(varied.message_id, "Hide")
            await telegram.wait_for_calls(1, timeout=PATIENCE_S, method="deleteMessage")
            edit_last_words(anna, "/photo in the rain")
            anna.write("/forget_me")
            [*_, question] = await telegram.wait_for(3, timeout=PATIENCE_S, method="sendMessage")
            too_old = Trouble.refused(400, "Bad Request: query is too old")
            telegram.script(too_old, method="answerCallbackQuery")
            anna.press(question.message_id, "Yes, forget me")
            await telegram.wait_for(2, timeout=PATIENCE_S, method="editMessageText")
            await telegram.wait_for_calls(2, timeout=PATIENCE_S, method="deleteMessage")
            button = InlineKeyboardButton(text="Cancel", callback_data=cancel_data(uuid4()))
            keyboard = InlineKeyboardMarkup(inline_keyboard=[[button]])
            async with bot_of(telegram) as same_bot:
                status = await same_bot.send_message(ANNA, "Drawing", reply_markup=keyboard)
            cancelled = await anna.answer(anna.press(status.message_id, "Cancel"))

    assert is_adult
    assert cancelled.text == "It is too late for that."
    assert (bot.exit_code, bot.errors) == (0, "")
    assert not any(message.photo for message in anna.messages())


def edit_last_words(person: ChatPerson, text: str) -> None:
    """Let a person edit the message that they wrote last, of which the bot gets an update."""
    own = [message for message in person.messages() if message.sender == person.user]
    edited = person.chats.described(own[-1]) | {
        "text": text,
        "edit_date": int(own[-1].when.timestamp()),
    }
    person.updates.add("edited_message", edited, chat_id=person.chat_id)


async def test_the_bot_behind_a_webhook_talks_and_counts_an_update_once(
    product: RunningProduct, home: Path
) -> None:
    anna = product.telegram.person(ANNA)
    port = free_port()
    url = f"http://127.0.0.1:{port}/telegram"
    variables = {"WEBHOOK_URL": url, "WEBHOOK_PORT": str(port), "WEBHOOK_SECRET": "s3cret"}
    async with (
        running(["-c", RUN, "webhook_bot.py"], product, home, **variables) as bot,
        ClientSession() as session,
    ):
        await talk(product, anna)
        await until_told(product)
        statuses = []
        for secret in ("s3cret", "s3cret", "guessed"):
            header = {"X-Telegram-Bot-Api-Secret-Token": secret}
            async with session.post(url, json=update(4711), headers=header) as answer:
                statuses.append(answer.status)

    async with product.sessions() as session:
        query = "SELECT message_count FROM dialogs WHERE id = 2002"
        counted = await session.scalar(text(query))
    assert bot.exit_code == 0
    assert statuses == [200, 200, 401]
    assert counted == 1


def update(message_id: int) -> Mapping[str, Any]:
    """Return a message of another chat, as Telegram delivers it."""
    chat = {"id": 2002, "type": "private", "first_name": "Kim"}
    sender = {"id": 2002, "is_bot": False, "first_name": "Kim"}
    date = int(datetime.now(UTC).timestamp())
    message = {"message_id": message_id, "date": date, "chat": chat, "from": sender, "text": "Hi"}
    return {"update_id": 900_000_000, "message": message}


async def test_the_synchronous_bot_stores_messages_and_requests_together(
    product: RunningProduct, home: Path
) -> None:
    anna = product.telegram.person(ANNA)
    async with running(["-c", RUN, "synchronous_bot.py"], product, home) as bot:
        await talk(product, anna)
        await ask(product, anna)
        await until_told(product)

    async with product.sessions() as session:
        rows = await session.execute(text("SELECT role, content FROM said ORDER BY id"))
        said = [{"role": role, "content": content} for role, content in rows]
    assert bot.exit_code == 0
    assert [each["role"] for each in said[:2]] == ["user", "assistant"]
    assert_tells_of_photos(said, product)


async def test_the_api_hands_out_pictures_and_says_why_there_is_none(
    product: RunningProduct, home: Path
) -> None:
    scene = {"user_id": 7, "dialog_id": 7, "text": "A walk in the park"}
    unknown = "/pictures/00000000-0000-0000-0000-000000000000"
    port = free_port()
    command = ["-m", "uvicorn", "fastapi_app:app", "--port", str(port)]
    async with running(command, product, home):
        await until(lambda: is_listening(port))
        async with ClientSession(f"http://127.0.0.1:{port}") as session:
            _, asked = await call(session, "POST", "/pictures", json=scene)
            path = f"/pictures/{asked['id']}"
            _, ended = await call(session, "GET", f"{path}?wait_s=30")
            async with session.get(f"{path}/image") as answer:
                image = await answer.read()
                image_type = answer.content_type
            _, cancelled = await call(session, "DELETE", path)
            await call(session, "POST", "/pictures", json=scene)
            elsewhere = scene | {"dialog_id": 8}
            too_many, _ = await call(session, "POST", "/pictures", json=elsewhere)
            statuses = [
                (await call(session, method, unknown + suffix))[0]
                for method, suffix in (("GET", ""), ("GET", "/image"), ("DELETE", ""))
            ]

    assert ended == {
        "state": "delivered",
        "is_open": False,
        "message": None,
        "summary": "Lina: on a walk, park",
    }
    assert (image[:4], image_type) == (b"\x89PNG", "image/png")
    assert cancelled == {"was_open": False}
    assert too_many == 429
    assert statuses == [404, 404, 200]


async def is_listening(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def call(session: ClientSession, method: str, path: str, **more: Any) -> tuple[int, Any]:
    async with session.request(method, path, **more) as answer:
        return answer.status, await answer.json()
