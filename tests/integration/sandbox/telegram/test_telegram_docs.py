"""docs/telegram-sandbox.md: its faults, methods and routes exist, its example runs."""

import re
from pathlib import Path
from typing import Any

import pytest
from aiogram import Bot, Dispatcher
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message, Update

from imagegen.sandbox.telegram import SandboxTelegram
from imagegen.sandbox.telegram.fault_text import KINDS, parse_fault
from tests.support.bot_api import BotApi

PAGE = (Path(__file__).parents[4] / "docs" / "telegram-sandbox.md").read_text(encoding="utf-8")
EXAMPLE = re.search(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_every_fault_is_on_the_page_with_its_parameters() -> None:
    _, _, faults = PAGE.partition("## Faults")
    rows = re.findall(r"^\| `([a-z-]+)`(?: \((.*?)\))? \| .* \| .* \|$", faults, flags=re.MULTILINE)
    named = {kind: set(re.findall(r"`(\w+)`", takes)) for kind, takes in rows}

    assert {name: takes for name, takes in named.items() if name in KINDS} == {
        name: set(kind.takes) for name, kind in KINDS.items()
    }


@pytest.mark.parametrize("text", re.findall(r'--fault (\S+)|"faults": \["(.*?)"', PAGE))
def test_a_fault_in_an_example_can_be_read(text: tuple[str, str]) -> None:
    assert parse_fault("".join(text))


async def test_every_method_is_on_the_page(telegram: SandboxTelegram) -> None:
    methods_there = telegram._handler._methods._by_name
    _, _, methods = PAGE.partition("## What it has of the Bot API")
    named = {name.lower() for name in re.findall(r"`([a-z]+[A-Z]\w+)`", methods)}

    assert named == set(methods_there)


async def test_every_route_on_the_page_is_there(api: BotApi) -> None:
    routes = re.findall(r"^\| `(GET|POST) /sandbox(\S+)` \|", PAGE, flags=re.MULTILINE)
    answers = [
        (await api.sandbox(method, path.replace("ID", "1001"), {}))[1]
        for method, path in routes
        if not path.endswith("/events")
    ]

    assert len(routes) == 6
    assert all(isinstance(answer, dict) for answer in answers)


async def answer_updates(bot: Bot) -> None:
    """Answer what waits, as the example's bot does."""
    dispatcher = Dispatcher()

    @dispatcher.message()
    async def start(message: Message) -> None:
        lina = InlineKeyboardButton(text="Lina", callback_data="persona:lina")
        markup = InlineKeyboardMarkup(inline_keyboard=[[lina]])
        await message.answer("Whom do you want to meet?", reply_markup=markup)

    @dispatcher.callback_query()
    async def meet(query: CallbackQuery) -> None:
        await query.answer("Lina is here")

    updates: list[Update] = await bot.get_updates()
    for update in updates:
        await dispatcher.feed_update(bot, update)
    if updates:
        await bot.get_updates(offset=updates[-1].update_id + 1)


async def test_the_example_runs() -> None:
    assert EXAMPLE is not None
    names: dict[str, Any] = {"my_bot_answers": answer_updates}
    exec(EXAMPLE[1], names)  # noqa: S102 it is our own page

    await names["test_the_bot_greets"]()
