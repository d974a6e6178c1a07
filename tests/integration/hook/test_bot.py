"""The router and the middleware for aiogram, in a bot that polls the simulated Telegram."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiogram import Dispatcher, F, Router
from aiogram.types import (
    Chat,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
    ReplyParameters,
    Update,
    User,
)
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from chatflow_hook import Button, ChatFlowHook, Rating, Turn
from chatflow_hook.bot import (
    BotTexts,
    TurnMiddleware,
    announce_commands,
    picture_router,
    turn_from,
)
from chatflow_hook.drafts import draft_id
from chatflow_hook.tables import AgeConfirmation, Kind, State, UnreadTurn
from imagegen.sandbox.telegram import ChatPerson, SandboxTelegram, Trouble
from tests.support import conversations
from tests.support.aged_rows import AgedData
from tests.support.aiogram_bot import bot_of, polling
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory

ANNA, BORIS, GROUP = 1001, 1002, -100500
TOO_OLD = Trouble.refused(400, "Bad Request: query is too old")


def dispatcher(hook: ChatFlowHook, **options: Any) -> Dispatcher:
    """A bot that answers every message, and needs two lines for its pictures."""
    rating = options.pop("rating", Rating.SAFE)
    texts = options.pop("texts", None)

    async def turn_of(message: Message) -> Turn | None:
        return turn_from(message, persona="lina", rating=rating)

    turn_of = options.pop("turn_of", turn_of)
    talk = Router()

    @talk.message(F.text)
    async def answer(message: Message) -> Message:
        return await message.answer(f"You said {len(message.text or '')} letters")

    made = Dispatcher()
    made.include_router(picture_router(hook, turn_of, texts=texts, **options))
    made.message.middleware(TurnMiddleware(hook, turn_of, texts=texts))
    made.include_router(talk)
    return made


@pytest.fixture
async def telegram() -> AsyncIterator[SandboxTelegram]:
    async with SandboxTelegram() as server:
        yield server


@pytest.fixture
def hook_of(database_url: str, redis_url: str) -> Callable[..., ChatFlowHook]:
    def make(**changes: Any) -> ChatFlowHook:
        settings = conversations.hook_settings(database_url, redis_url, **changes)
        return ChatFlowHook(settings, turn_timeout_s=PATIENCE_S)

    return make


@pytest.fixture
async def hook(hook_of: Callable[..., ChatFlowHook]) -> AsyncIterator[ChatFlowHook]:
    async with hook_of() as made:
        yield made


async def texts_of(telegram: SandboxTelegram, count: int) -> list[str]:
    return [str(sent.text) for sent in await telegram.wait_for(count, timeout=PATIENCE_S)]


async def edited_to(telegram: SandboxTelegram, count: int = 1) -> str:
    edits = await telegram.wait_for(count, timeout=PATIENCE_S, method="editMessageText")
    return str(edits[-1].text)


async def handled(person: ChatPerson, telegram: SandboxTelegram) -> None:
    """Wait until everything before is handled: one more message is answered."""
    count = len(telegram.sent)
    person.write("/anything")
    await telegram.wait_for(count + 1, timeout=PATIENCE_S)


async def test_a_picture_is_due_at_the_third_message_and_knows_the_answer(
    telegram: SandboxTelegram, hook: ChatFlowHook, sessions: Sessions
) -> None:
    anna = telegram.person(ANNA)

    async with polling(dispatcher(hook), telegram):
        for number, text in enumerate(["one", "three", "thirteen"], 1):
            anna.write(text)
            await texts_of(telegram, number)
        await handled(anna, telegram)

    [request] = await conversations.requests_of(sessions, ANNA)
    assert request.kind == Kind.AUTOMATIC
    assert request.conversation is not None
    assert request.conversation["reply"] == "You said 8 letters"
    assert request.message_count == 3


async def test_a_command_is_no_turn(
    telegram: SandboxTelegram, hook: ChatFlowHook, sessions: Sessions
) -> None:
    anna = telegram.person(ANNA)

    async with polling(dispatcher(hook), telegram):
        for number in range(1, 4):
            anna.write("/anything")
            await texts_of(telegram, number)
        await handled(anna, telegram)

    assert await conversations.requests_of(sessions, ANNA) == []


async def test_photo_asks_for_what_is_said_behind_it(
    telegram: SandboxTelegram, hook: ChatFlowHook, sessions: Sessions
) -> None:
    async with polling(dispatcher(hook), telegram):
        number = telegram.person(ANNA).write("/photo at the sea")
        await telegram.wait_for_calls(1, timeout=PATIENCE_S, method="sendChatAction")

    [request] = await conversations.requests_of(sessions, ANNA)
    assert request.kind == Kind.ASKED
    assert request.conversation is not None
    assert request.conversation["text"] == "at the sea"
    assert request.reply_to_message_id == number


async def test_an_age_behind_photo_is_noted_for_the_worker_to_read(
    telegram: SandboxTelegram, hook: ChatFlowHook, sessions: Sessions
) -> None:
    async with polling(dispatcher(hook), telegram):
        telegram.person(ANNA).write("/photo of you, I'm 15")
        await telegram.wait_for_calls(1, timeout=PATIENCE_S, method="sendChatAction")

    async with sessions() as session:
        [note] = (await session.execute(select(UnreadTurn))).scalars()
    assert (note.user_id, note.conversation["text"]) == (ANNA, "of you, I'm 15")


async def test_photo_says_when_the_next_one_is_free(
    telegram: SandboxTelegram, hook_of: Callable[..., ChatFlowHook]
) -> None:
    anna = telegram.person(ANNA, language_code="ru")
    in_group = telegram.person(ANNA, chat_id=GROUP, language_code="ru")

    async with (
        hook_of(asked_images_per_minute=1) as hook,
        polling(dispatcher(hook), telegram),
    ):
        anna.write("/photo")
        await telegram.wait_for_calls(1, timeout=PATIENCE_S, method="sendChatAction")
        in_group.write("/photo")

        [said] = await texts_of(telegram, 1)

    assert said.startswith("Пока это была последняя картинка. Следующая будет доступна в ")
    assert "UTC" in said


async def test_who_has_no_time_zone_because_the_bot_fails_is_told_the_time_in_utc(
    telegram: SandboxTelegram, hook_of: Callable[..., ChatFlowHook]
) -> None:
    async def broken(user_id: int) -> None:
        raise KeyError(user_id)

    anna, in_group = telegram.person(ANNA), telegram.person(ANNA, chat_id=GROUP)

    async with (
        hook_of(asked_images_per_minute=1) as hook,
        polling(dispatcher(hook, zone_of=broken), telegram),
    ):
        anna.write("/photo")
        await telegram.wait_for_calls(1, timeout=PATIENCE_S, method="sendChatAction")
        in_group.write("/photo")

        [said] = await texts_of(telegram, 1)

    assert said.endswith("UTC.")


async def test_photo_without_a_dialog_says_what_to_do(
    telegram: SandboxTelegram, hook: ChatFlowHook
) -> None:
    async def nobody(_: Message) -> None:
        return None

    async with polling(dispatcher(hook, turn_of=nobody), telegram):
        telegram.person(ANNA).write("/photo")

        assert await texts_of(telegram, 1) == ["Choose somebody to talk to first: /start"]


async def test_a_database_that_is_away_is_told_kindly(
    telegram: SandboxTelegram, redis_url: str
) -> None:
    settings = conversations.hook_settings("postgresql://nobody@127.0.0.1:1/none", redis_url)
    anna = telegram.person(ANNA)

    async with (
        ChatFlowHook(settings, turn_timeout_s=PATIENCE_S) as hook,
        polling(dispatcher(hook), telegram),
    ):
        anna.write("/photo")

        assert "Please try again in a minute" in (await texts_of(telegram, 1))[0]


async def test_the_age_is_asked_once_and_stored_with_its_language(
    telegram: SandboxTelegram, hook: ChatFlowHook, sessions: Sessions
) -> None:
    anna = telegram.person(ANNA, language_code="ru")

    async with polling(dispatcher(hook, rating=Rating.SUGGESTIVE), telegram):
        anna.write("Привет")
        sent = await telegram.wait_for(2, timeout=PATIENCE_S)
        anna.write("Ещё раз")
        await telegram.wait_for(3, timeout=PATIENCE_S)
        assert "18" in str(sent[1].text)
        anna.press(sent[1].message_id, "Да, мне есть 18")
        said = await edited_to(telegram)

    assert said.startswith("Спасибо")
    assert len(telegram.sent) == 3
    async with sessions() as session:
        [confirmed] = (await session.execute(select(AgeConfirmation))).scalars()
    assert (confirmed.user_id, confirmed.language, confirmed.text_version) == (ANNA, "ru", "1")


async def test_two_processes_and_a_restart_ask_once_and_who_was_forgotten_is_asked_anew(
    telegram: SandboxTelegram, hook_of: Callable[..., ChatFlowHook]
) -> None:
    anna = telegram.person(ANNA)

    async def questions() -> int:
        """Let a bot that was started anew answer a message; return how often it has asked so far."""
        command = f"/{'x' * (20 + len(telegram.sent))}"  # an update of before may come once more
        async with hook_of() as hook, polling(dispatcher(hook, rating="suggestive"), telegram):
            anna.write("Hello")
            anna.write(command)
            while telegram.sent[-1:] == [] or str(len(command)) not in str(telegram.sent[-1].text):
                await telegram.wait_for(len(telegram.sent) + 1, timeout=PATIENCE_S)
        return sum("18 or older" in str(sent.text) for sent in telegram.sent)

    async with hook_of() as first, hook_of() as second:
        claims = await asyncio.gather(
            *(hook.claim_age_question(ANNA) for hook in (first, second) for _ in range(5))
        )
        await first.forget_user(ANNA)
    after_forget_me, after_restart = await questions(), await questions()
    async with hook_of(age_text_version="2") as changed:
        claims_of_another_text = [await changed.claim_age_question(ANNA) for _ in range(2)]

    assert sorted(claims) == [False] * 9 + [True]
    assert (after_forget_me, after_restart) == (1, 1)
    assert claims_of_another_text == [True, False]


async def test_a_question_that_could_not_be_sent_is_asked_with_the_next_message(
    telegram: SandboxTelegram, hook: ChatFlowHook
) -> None:
    anna = telegram.person(ANNA)
    refused = Trouble.refused(400, "Bad Request: not now")

    async with polling(dispatcher(hook, rating=Rating.SUGGESTIVE), telegram):
        telegram.script(Trouble.late(0), refused, method="sendMessage")
        anna.write("Hello")
        await telegram.wait_for_calls(2, timeout=PATIENCE_S, method="sendMessage")
        anna.write("Hello again")
        [*_, question] = await telegram.wait_for(3, timeout=PATIENCE_S)

    assert "18" in str(question.text)


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (Trouble.refused(400, "Bad Request: not now"), "TelegramBadRequest"),
        (Trouble.bad_gateway(), "ClientDecodeError"),
    ],
)
async def test_a_question_that_could_not_be_sent_fails_no_message_that_was_answered(
    telegram: SandboxTelegram, hook: ChatFlowHook, trouble: Trouble, error: str
) -> None:
    telegram.person(ANNA)
    message = Message(
        message_id=1,
        date=datetime.now(UTC),
        chat=Chat(id=ANNA, type="private"),
        from_user=User(id=ANNA, is_bot=False, first_name="Anna"),
        text="Hello",
    )
    telegram.script(Trouble.late(0), trouble, method="sendMessage")

    async with bot_of(telegram) as bot:
        with capture_logs() as log:
            await dispatcher(hook, rating=Rating.SUGGESTIVE).feed_update(
                bot, Update(update_id=1, message=message)
            )

    assert await texts_of(telegram, 1) == ["You said 5 letters"]
    assert [line for line in log if line["event"] == "age not asked"] == [
        {"event": "age not asked", "log_level": "warning", "error": error}
    ]


async def test_who_has_confirmed_is_not_asked(
    telegram: SandboxTelegram, hook: ChatFlowHook
) -> None:
    await hook.confirm_age(ANNA)

    async with polling(dispatcher(hook, rating=Rating.SUGGESTIVE), telegram):
        anna = telegram.person(ANNA)
        anna.write("Hello")
        await telegram.wait_for(1, timeout=PATIENCE_S)
        await handled(anna, telegram)

    assert len(telegram.sent) == 2


@pytest.mark.parametrize(("chat_id", "rating"), [(ANNA, "safe"), (GROUP, "suggestive")])
async def test_no_age_is_asked_where_it_changes_nothing(
    telegram: SandboxTelegram, hook: ChatFlowHook, chat_id: int, rating: str
) -> None:
    async with polling(dispatcher(hook, rating=Rating(rating)), telegram):
        anna = telegram.person(ANNA, chat_id=chat_id)
        anna.write("Hello")
        await telegram.wait_for(1, timeout=PATIENCE_S)
        await handled(anna, telegram)

    assert len(telegram.sent) == 2


async def test_no_is_an_answer_and_nothing_is_stored(
    telegram: SandboxTelegram, hook: ChatFlowHook
) -> None:
    anna = telegram.person(ANNA)

    async with polling(dispatcher(hook, rating=Rating.SUGGESTIVE), telegram):
        anna.write("Hello")
        [_, question] = await telegram.wait_for(2, timeout=PATIENCE_S)
        anna.press(question.message_id, "No")

        assert await edited_to(telegram) == "All right, all photos stay harmless."

    assert not await hook.has_confirmed_age(ANNA)


async def test_who_has_said_to_be_younger_cannot_confirm_meanwhile(
    products: ProductFactory,
) -> None:
    async with products.start(max_rating="suggestive") as product:
        anna = product.telegram.person(ANNA)
        made = dispatcher(product.hook, rating=Rating.SUGGESTIVE)
        async with polling(made, product.telegram):
            anna.write("Hello")
            [_, question] = await product.telegram.wait_for(2, timeout=PATIENCE_S)
            anna.write("I am 15 years old")
            async with asyncio.timeout(PATIENCE_S):
                while await product.hook.may_ask_age(ANNA):
                    pass
            anna.press(question.message_id, "Yes, I am 18 or older")

            said = await edited_to(product.telegram)

        assert said == "All right, all photos stay harmless."
        assert not await product.hook.has_confirmed_age(ANNA)


async def test_a_button_below_another_text_confirms_nothing(
    telegram: SandboxTelegram, hook: ChatFlowHook
) -> None:
    anna = telegram.person(ANNA)
    older = BotTexts({"en": {"age_question": "Are you old enough?"}})
    async with polling(dispatcher(hook, rating=Rating.SUGGESTIVE, texts=older), telegram):
        anna.write("Hello")
        [_, question] = await telegram.wait_for(2, timeout=PATIENCE_S)

    async with polling(dispatcher(hook, rating=Rating.SUGGESTIVE), telegram):
        pressed = anna.press(question.message_id, "Yes, I am 18 or older")
        said = await edited_to(telegram)
        is_confirmed = await hook.has_confirmed_age(ANNA)
        async with asyncio.timeout(PATIENCE_S):
            told = await anna.answer(pressed)
        anna.press(question.message_id, "Yes, I am 18 or older")
        thanks = await edited_to(telegram, 2)

    assert told.text == "This question has changed. Please read it again."
    assert said == BotTexts().text("age_question", "en")
    assert not is_confirmed
    assert thanks.startswith("Thank you.")


async def test_privacy_says_what_is_kept_in_the_persons_language(
    telegram: SandboxTelegram, hook: ChatFlowHook
) -> None:
    async with polling(dispatcher(hook), telegram):
        telegram.person(ANNA, language_code="ru").write("/privacy")

        [said] = await texts_of(telegram, 1)

    assert "/forget_me" in said
    assert "сообщениям" in said


async def test_forget_me_erases_everything_and_the_photos_in_the_chat(
    products: ProductFactory, sessions: Sessions
) -> None:
    forgotten: list[int] = []

    async def on_forget(user_id: int) -> None:
        forgotten.append(user_id)

    async with products.start() as product:
        telegram = product.telegram
        anna = telegram.person(ANNA)
        made = dispatcher(product.hook, on_forget=on_forget)
        async with polling(made, telegram):
            anna.write("/photo")
            [photo] = await telegram.wait_for(1, timeout=PATIENCE_S, method="sendPhoto")
            anna.write("/forget_me")
            [question] = await telegram.wait_for(1, timeout=PATIENCE_S, method="sendMessage")
            anna.press(question.message_id, "Yes, forget me")
            said = await edited_to(telegram)
            await telegram.wait_for_calls(1, timeout=PATIENCE_S, method="deleteMessage")

    assert said == "Done: nothing is kept of you any more. /start begins anew."
    assert forgotten == [ANNA]
    assert photo.message_id not in {message.message_id for message in anna.messages()}
    assert await conversations.requests_of(sessions, ANNA) == []


@pytest.mark.parametrize("fails", ["answer", "on_forget", "deletion"])
async def test_who_is_forgotten_loses_the_photos_whatever_else_fails(
    telegram: SandboxTelegram, hook: ChatFlowHook, engine: AsyncEngine, tmp_path: Path, fails: str
) -> None:
    async def on_forget(user_id: int) -> None:
        if fails == "on_forget":
            raise KeyError(user_id)

    rows = AgedData(engine, tmp_path / "images")
    anna = telegram.person(ANNA)
    async with polling(dispatcher(hook, on_forget=on_forget), telegram) as bot:
        shown = [(await bot.send_message(ANNA, "Drawing")).message_id for _ in range(2)]
        for message_id in shown:
            await rows.row(State.DRAWING, kind="asked", status_message_id=message_id)
        anna.write("/forget_me")
        [*_, question] = await telegram.wait_for(3, timeout=PATIENCE_S)
        if fails == "answer":
            telegram.script(TOO_OLD, method="answerCallbackQuery")
        if fails == "deletion":  # of the first, by a page of a proxy
            telegram.script(Trouble.bad_gateway(), method="deleteMessage")
        anna.press(question.message_id, "Yes, forget me")
        await telegram.wait_for_calls(2, timeout=PATIENCE_S, method="deleteMessage")

    left = {message.message_id for message in anna.messages()}.intersection(shown)
    assert await rows.ids() == set()
    assert len(left) == (1 if fails == "deletion" else 0)


async def test_a_picture_is_hidden_though_its_press_is_answered_too_late(
    telegram: SandboxTelegram, hook: ChatFlowHook, engine: AsyncEngine, tmp_path: Path
) -> None:
    anna = telegram.person(ANNA)
    async with polling(dispatcher(hook), telegram) as bot:
        request_id = uuid4()
        hide = InlineKeyboardButton(text="Hide", callback_data=Button.HIDE.data(request_id))
        keyboard = InlineKeyboardMarkup(inline_keyboard=[[hide]])
        shown = await bot.send_message(ANNA, "A picture", reply_markup=keyboard)
        await AgedData(engine, tmp_path / "images").row(
            State.DELIVERED, id=request_id, telegram_message_id=shown.message_id
        )
        telegram.script(TOO_OLD, method="answerCallbackQuery")
        anna.press(shown.message_id, "Hide")
        await telegram.wait_for_calls(1, timeout=PATIENCE_S, method="deleteMessage")

    assert shown.message_id not in {message.message_id for message in anna.messages()}


async def test_the_texts_are_sent_as_they_stand_whatever_the_bots_own_parse_mode(
    telegram: SandboxTelegram, hook: ChatFlowHook
) -> None:
    anna = telegram.person(ANNA)
    made = dispatcher(hook, rating=Rating.SUGGESTIVE)
    async with polling(made, telegram, parse_mode="MarkdownV2"):
        anna.write("Hello")
        [_, age] = await telegram.wait_for(2, timeout=PATIENCE_S)
        anna.press(age.message_id, "No")
        declined = await edited_to(telegram)
        anna.write("/privacy")
        anna.write("/forget_me")
        [*_, privacy, question] = await telegram.wait_for(4, timeout=PATIENCE_S)
        anna.press(question.message_id, "No, keep it")
        kept = await edited_to(telegram, 2)

    texts = BotTexts()
    assert {
        key: texts.text(key, "en")
        for key in ("age_question", "age_declined", "privacy", "forget_question", "forget_kept")
    } == {
        "age_question": age.text,
        "age_declined": declined,
        "privacy": privacy.text,
        "forget_question": question.text,
        "forget_kept": kept,
    }


async def test_the_buttons_under_a_photo_bring_another_one_and_hide_it(
    products: ProductFactory,
) -> None:
    async with products.start(delivery_buttons="another,hide") as product:
        telegram = product.telegram
        anna = telegram.person(ANNA)
        async with polling(dispatcher(product.hook), telegram):
            anna.write("/photo")
            [photo] = await telegram.wait_for(1, timeout=PATIENCE_S, method="sendPhoto")
            pressed = anna.press(photo.message_id, "Another one")
            async with asyncio.timeout(PATIENCE_S):
                answer = await anna.answer(pressed)
            [_, another] = await telegram.wait_for(2, timeout=PATIENCE_S, method="sendPhoto")
            anna.press(another.message_id, "Hide")
            await telegram.wait_for_calls(1, timeout=PATIENCE_S, method="deleteMessage")
            await handled(anna, telegram)

    assert answer.text == "Another one is on its way."
    assert another.message_id not in {message.message_id for message in anna.messages()}


@pytest.mark.parametrize("chat_id", [ANNA, GROUP])
async def test_cancel_below_a_status_message_is_for_whoever_has_asked(
    telegram: SandboxTelegram, hook: ChatFlowHook, sessions: Sessions, chat_id: int
) -> None:
    anna, boris = telegram.person(ANNA, chat_id=chat_id), telegram.person(BORIS, chat_id=chat_id)
    async with polling(dispatcher(hook), telegram) as bot:
        asking = anna.write("/photo")
        await telegram.wait_for_calls(1, timeout=PATIENCE_S, method="sendChatAction")
        [request] = await conversations.requests_of(sessions, chat_id)
        button = InlineKeyboardButton(text="Cancel", callback_data=f"pic1:cancel:{request.id.hex}")
        status = await bot.send_message(
            chat_id,
            "Drawing",
            reply_markup=InlineKeyboardMarkup(inline_keyboard=[[button]]),
            reply_parameters=ReplyParameters(message_id=asking),
        )
        answers = []
        for person in (boris, anna, anna):
            pressed = person.press(status.message_id, "Cancel")
            async with asyncio.timeout(PATIENCE_S):
                answers.append((await person.answer(pressed)).text)

    [row] = await conversations.requests_of(sessions, chat_id)
    assert row.state == State.CANCELLED
    assert answers == [
        "This button is for somebody else.",
        "The photo was called off.",
        "The photo was called off.",
    ]


async def test_cancel_below_the_status_of_a_picture_that_is_gone_says_that_it_is_too_late(
    telegram: SandboxTelegram, hook: ChatFlowHook
) -> None:
    anna = telegram.person(ANNA)
    button = InlineKeyboardButton(text="Cancel", callback_data=f"pic1:cancel:{uuid4().hex}")
    async with polling(dispatcher(hook), telegram) as bot:
        keyboard = InlineKeyboardMarkup(inline_keyboard=[[button]])
        status = await bot.send_message(ANNA, "Drawing", reply_markup=keyboard)
        pressed = anna.press(status.message_id, "Cancel")
        async with asyncio.timeout(PATIENCE_S):
            answer = await anna.answer(pressed)

    assert answer.text == "It is too late for that."


async def test_who_stops_the_draft_of_a_photo_cancels_it(
    telegram: SandboxTelegram, hook: ChatFlowHook, sessions: Sessions
) -> None:
    anna = telegram.person(ANNA)
    async with polling(dispatcher(hook), telegram) as bot:
        anna.write("/photo")
        await telegram.wait_for_calls(1, timeout=PATIENCE_S, method="sendChatAction")
        [request] = await conversations.requests_of(sessions, ANNA)
        draft = draft_id(request.id)
        await bot.send_message_draft(ANNA, draft, text="Drawing", can_stop=True)
        anna.stop(draft)

        picture = await hook.wait(request.id, timeout=PATIENCE_S)

    assert picture.state is State.CANCELLED


async def test_nobody_else_can_answer_whether_to_forget(
    telegram: SandboxTelegram, hook: ChatFlowHook
) -> None:
    anna, boris = telegram.person(ANNA, chat_id=GROUP), telegram.person(BORIS, chat_id=GROUP)

    async with polling(dispatcher(hook), telegram):
        anna.write("/forget_me")
        [question] = await telegram.wait_for(1, timeout=PATIENCE_S)
        pressed = boris.press(question.message_id, "Yes, forget me")
        async with asyncio.timeout(PATIENCE_S):
            answer = await boris.answer(pressed)
        anna.press(question.message_id, "No, keep it")
        said = await edited_to(telegram)

    assert answer.text == "This button is for somebody else."
    assert answer.show_alert
    assert said == "All right, nothing was erased."


async def test_the_commands_are_in_the_menu(telegram: SandboxTelegram, hook: ChatFlowHook) -> None:
    async with polling(dispatcher(hook), telegram) as bot:
        await announce_commands(bot)

        names = [command.command for command in await bot.get_my_commands()]

        described = [
            (await bot.get_my_commands(language_code=language))[0].description
            for language in ("ru", "en")
        ]

    assert names == ["photo", "privacy", "forget_me"]
    assert described == ["прислать фото", "send me a photo"]
