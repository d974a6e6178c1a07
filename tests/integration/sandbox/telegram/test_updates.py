"""What people do comes to the bot as updates, by polling."""

import asyncio

from imagegen.sandbox.telegram import SandboxTelegram
from tests.support.bot_api import BotApi

ANNA = 1001


async def test_a_message_comes_once_and_is_gone_when_it_is_confirmed(
    telegram: SandboxTelegram, api: BotApi
) -> None:
    telegram.person(ANNA, name="Anna", language_code="ru").write("/start")

    [first] = await api.call("getUpdates")
    [again] = await api.call("getUpdates")
    rest = await api.call("getUpdates", offset=first["update_id"] + 1)

    assert first == again
    assert rest == []
    message = first["message"]
    assert message["from"]["language_code"] == "ru"
    assert message["chat"]["type"] == "private"
    assert message["entities"] == [{"type": "bot_command", "offset": 0, "length": 6}]


async def test_a_long_poll_ends_with_the_first_update(
    telegram: SandboxTelegram, api: BotApi
) -> None:
    poll = asyncio.create_task(api.call("getUpdates", timeout=20))
    await telegram.wait_for_calls(1, timeout=5)

    telegram.person(ANNA).write("hello")

    assert [update["message"]["text"] for update in await poll] == ["hello"]


async def test_a_poll_takes_as_many_as_it_asks_for_from_the_end_too(
    telegram: SandboxTelegram, api: BotApi
) -> None:
    for text in "abc":
        telegram.person(ANNA).write(text)

    two = await api.call("getUpdates", limit=2)
    last = await api.call("getUpdates", offset=-1)

    assert [update["message"]["text"] for update in two] == ["a", "b"]
    assert [update["message"]["text"] for update in last] == ["c"]
    assert await api.call("getUpdates") == last


async def test_only_the_kinds_that_the_bot_asks_for_come(
    telegram: SandboxTelegram, api: BotApi
) -> None:
    await api.call("getUpdates", allowed_updates=["callback_query"])
    anna = telegram.person(ANNA)
    anna.write("hello")
    keyboard = {"inline_keyboard": [[{"text": "More", "callback_data": "more"}]]}
    sent = await api.call("sendMessage", chat_id=ANNA, text="hi", reply_markup=keyboard)

    anna.press(sent["message_id"], "More")

    assert [[*update][1] for update in await api.call("getUpdates")] == ["callback_query"]


async def test_of_two_pollers_the_first_is_ended(telegram: SandboxTelegram, api: BotApi) -> None:
    first = asyncio.create_task(api.answer("getUpdates", timeout=20))
    await telegram.wait_for_calls(1, timeout=5)
    second = asyncio.create_task(api.call("getUpdates", timeout=20))

    ended = await first
    telegram.person(ANNA).write("hello")

    assert ended["error_code"] == 409
    assert ended["description"] == (
        "Conflict: terminated by other getUpdates request; "
        "make sure that only one bot instance is running"
    )
    assert len(await second) == 1


async def test_a_fault_without_a_method_is_not_for_polling(api: BotApi) -> None:
    _, answer = await api.sandbox("POST", "/faults", {"faults": ["flood:seconds=3"]})

    await api.call("getUpdates")

    assert answer == {"waiting": ["flood:seconds=3"]}
    assert await api.refusal("getMe") == "Too Many Requests: retry after 3"
    assert await api.sandbox("GET", "/faults") == (200, {"waiting": []})
