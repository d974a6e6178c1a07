"""The persona bot: it says that it is an AI, talks with or without a model, and sends pictures."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from chatflow_hook import ChatFlowHook, Request
from chatflow_hook.tables import ImageRequest, Kind, State
from imagegen.sandbox.demo import chat_page
from imagegen.sandbox.demo.persona_bot import VOICES, PersonaBot
from imagegen.sandbox.telegram import ChatPerson, SandboxTelegram
from tests.support import conversations
from tests.support.aiogram_bot import polling
from tests.support.conversations import Sessions
from tests.support.language_model import ChatServer, drops, says
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory

ANNA = 1001


@pytest.fixture
async def telegram() -> AsyncIterator[SandboxTelegram]:
    async with SandboxTelegram() as server:
        yield server


@pytest.fixture
async def hook(database_url: str, redis_url: str) -> AsyncIterator[ChatFlowHook]:
    settings = conversations.hook_settings(database_url, redis_url)
    async with ChatFlowHook(settings, turn_timeout_s=PATIENCE_S) as made:
        yield made


async def chosen(telegram: SandboxTelegram, person: ChatPerson, name: str) -> None:
    """Start, and choose a persona: two messages come."""
    person.write("/start")
    [welcome] = await telegram.wait_for(1, timeout=PATIENCE_S)
    person.press(welcome.message_id, name)
    await telegram.wait_for(2, timeout=PATIENCE_S)


async def test_at_first_contact_it_says_that_it_is_an_ai(
    telegram: SandboxTelegram, hook: ChatFlowHook
) -> None:
    async with polling(PersonaBot(hook=hook).dispatcher(), telegram):
        telegram.person(ANNA, language_code="ru").write("Привет")
        [welcome] = await telegram.wait_for(1, timeout=PATIENCE_S)

    assert "Я ИИ, а не человек" in str(welcome.text)
    names = [button["text"].lower() for row in welcome.buttons for button in row]
    assert names == list(VOICES)


async def test_without_a_model_a_persona_goes_through_her_lines(
    telegram: SandboxTelegram, hook: ChatFlowHook
) -> None:
    anna = telegram.person(ANNA)
    async with polling(PersonaBot(hook=hook).dispatcher(), telegram):
        await chosen(telegram, anna, "Una")
        anna.write("Hello")
        anna.write("And now?")
        sent = await telegram.wait_for(4, timeout=PATIENCE_S)

    assert [message.text for message in sent[2:]] == VOICES["una"]["en"]["lines"][:2]


async def test_a_model_answers_in_her_role_and_its_failure_is_not_seen(
    telegram: SandboxTelegram, hook: ChatFlowHook
) -> None:
    anna = telegram.person(ANNA)
    async with (
        ChatServer(says("I am by the sea."), drops).running() as server,
        httpx.AsyncClient(base_url=f"{server.url}v1") as client,
        polling(PersonaBot(hook=hook, llm=client).dispatcher(), telegram),
    ):
        await chosen(telegram, anna, "Una")
        anna.write("Where are you?")
        anna.write("And now?")
        sent = await telegram.wait_for(4, timeout=PATIENCE_S)

    assert sent[2].text == "I am by the sea."
    assert sent[3].text in VOICES["una"]["en"]["lines"]
    system, greeting, asked = server.asked[0]["messages"]
    assert "Never claim to be human" in system["content"]
    assert greeting == {"role": "assistant", "content": VOICES["una"]["en"]["greeting"]}
    assert asked == {"role": "user", "content": "Where are you?"}


async def test_of_quick_presses_the_first_chooses_and_the_others_are_answered_silently(
    telegram: SandboxTelegram, hook: ChatFlowHook
) -> None:
    anna = telegram.person(ANNA)
    async with polling(PersonaBot(hook=hook).dispatcher(), telegram):
        anna.write("/start")
        [welcome] = await telegram.wait_for(1, timeout=PATIENCE_S)
        presses = [anna.press(welcome.message_id, name) for name in ("Una", "Ash", "Una")]
        async with asyncio.timeout(PATIENCE_S):
            answers = [await anna.answer(press) for press in presses]
        anna.write("Hello")
        sent = await telegram.wait_for(3, timeout=PATIENCE_S)

    una = VOICES["una"]["en"]
    assert [answer.text for answer in answers] == ["", "", ""]
    assert [message.text for message in sent[1:]] == [una["greeting"], una["lines"][0]]


async def test_after_another_start_another_persona_can_be_chosen(
    telegram: SandboxTelegram, hook: ChatFlowHook
) -> None:
    anna = telegram.person(ANNA)
    async with polling(PersonaBot(hook=hook).dispatcher(), telegram):
        await chosen(telegram, anna, "Una")
        anna.write("/start")
        [*_, welcome] = await telegram.wait_for(3, timeout=PATIENCE_S)
        anna.press(welcome.message_id, "Ash")
        [*_, greeting] = await telegram.wait_for(4, timeout=PATIENCE_S)

    assert greeting.text == VOICES["ash"]["en"]["greeting"]


async def test_a_photo_that_is_asked_for_in_talk_is_requested_and_said_to_be_on_its_way(
    telegram: SandboxTelegram, hook: ChatFlowHook, sessions: Sessions
) -> None:
    anna = telegram.person(ANNA)
    async with polling(PersonaBot(hook=hook).dispatcher(), telegram):
        await chosen(telegram, anna, "Una")
        anna.write("Send me a photo of the harbour")
        [*_, answer] = await telegram.wait_for(3, timeout=PATIENCE_S)

    [request] = await conversations.requests_of(sessions, ANNA)
    assert (request.kind, request.persona) == (Kind.ASKED, "una")
    assert answer.text == "One moment, the photo is on its way."


async def test_who_asks_for_a_photo_beyond_the_limits_is_told_when_the_next_one_is_free(
    telegram: SandboxTelegram, database_url: str, redis_url: str, sessions: Sessions
) -> None:
    settings = conversations.hook_settings(database_url, redis_url, asked_images_per_minute=1)
    anna = telegram.person(ANNA, language_code="ru")
    async with (
        ChatFlowHook(settings, turn_timeout_s=PATIENCE_S) as hook,
        polling(PersonaBot(hook=hook).dispatcher(), telegram),
    ):
        await chosen(telegram, anna, "Una")
        anna.write("Пришли фото")
        await telegram.wait_for(3, timeout=PATIENCE_S)
        [row] = await conversations.requests_of(sessions, ANNA)
        first = Request(id=row.id, dialog_id=ANNA, message_count=row.message_count)
        await conversations.end(sessions, first, State.DELIVERED)
        anna.write("Пришли ещё одно фото")
        [*_, answer] = await telegram.wait_for(4, timeout=PATIENCE_S)

    assert "Следующая будет доступна в" in str(answer.text)
    assert [entity["type"] for entity in answer.entities] == ["date_time"]


async def test_a_dialog_begins_with_a_cover_of_the_persona(
    products: ProductFactory, sessions: Sessions, database_url: str
) -> None:
    drawn = select(func.count()).where(ImageRequest.finished_at.is_not(None))
    async with products.start() as product:
        anna = product.telegram.person(ANNA)
        async with chat_page.running_bot(product.hook, product.telegram, personas=["ash"]):
            await chat_page.order_covers(product.hook, database_url, ["ash"])
            async with asyncio.timeout(PATIENCE_S), sessions() as session:
                while (await session.execute(drawn)).scalar_one() < 2:
                    await session.rollback()
            await chosen(product.telegram, anna, "Ash")

            [cover] = await product.telegram.wait_for(1, timeout=PATIENCE_S, method="sendPhoto")

    assert cover.chat_id == ANNA


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "TELEGRAM_BOT_TOKEN"),
        ({"TELEGRAM_BOT_TOKEN": "1:a", "TURN_RATING": "any"}, "TURN_RATING is none of safe,"),
        ({"TELEGRAM_BOT_TOKEN": "1:a"}, "DATABASE_URL"),
    ],
)
async def test_a_setting_that_is_missing_or_wrong_is_one_line(
    tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    bot = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "imagegen.sandbox.demo.persona_bot"),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **variables},
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await bot.communicate()

    assert bot.returncode == 1
    assert (said in stderr.decode(), stderr.count(b"\n")) == (True, 1)
