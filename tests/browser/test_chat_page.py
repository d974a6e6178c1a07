"""A person chats with the persona bot on the chat page: the real bot, hook, worker and browser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiogram.types import (
    BufferedInputFile,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    MessageEntity,
)

from imagegen.sandbox.demo import chat_page
from imagegen.sandbox.telegram import SandboxTelegram
from tests.browser import chromium
from tests.support.aiogram_bot import bot_of
from tests.support.bot_api import png
from tests.support.product import ProductFactory, RunningProduct

PATIENCE_MS = 20_000
ANNA = 1001

_WHY_NOT = chromium.why_not()
pytestmark = [
    pytest.mark.skipif(_WHY_NOT is not None, reason=_WHY_NOT or ""),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Any]:
    """Give a browser for all tests of the page; a page in it is as in a browser of its own."""
    async with chromium.running() as browser:
        yield browser


@asynccontextmanager
async def chatting(
    products: ProductFactory, browser: Any
) -> AsyncIterator[tuple[Any, RunningProduct]]:
    """Open the page of a chat with the persona bot."""
    async with (
        products.start(seconds_per_picture=0.2, **worker_settings()) as product,
        chat_page.running_bot(product.hook, product.telegram, personas=["lina", "ash"]),
        chromium.opened_page(browser, f"{product.telegram.url}/chat/{ANNA}") as page,
    ):
        page.set_default_timeout(PATIENCE_MS)
        yield page, product


def worker_settings() -> dict[str, Any]:
    return {name.lower(): value for name, value in chat_page.WORKER_SETTINGS.items()}


async def say(page: Any, words: str) -> None:
    await page.get_by_label("Message", exact=True).fill(words)
    await page.keyboard.press("Enter")


async def test_a_person_chats_until_a_photo_comes_reloads_and_is_forgotten(
    products: ProductFactory, browser: Any
) -> None:
    async with chatting(products, browser) as (page, _):
        await page.get_by_role("button", name="Start").click()
        await page.get_by_text("I am an AI, not a human").wait_for()
        await page.get_by_role("button", name="Lina").click()
        await page.get_by_text("I have just made tea").wait_for()

        await say(page, "Hello")
        await page.get_by_text("Are you 18 or older?").wait_for()
        await page.get_by_role("button", name="Yes, I am 18 or older").click()
        await page.get_by_text("Thank you.").wait_for()
        await say(page, "How was your day?")
        await say(page, "Let us sit by the window")

        hidden = page.get_by_role("button", name="Show the hidden photo")
        await hidden.wait_for()
        assert await chromium.serious_findings(page) == []
        await hidden.click()
        await hidden.wait_for(state="detached")

        await page.get_by_role("button", name="Another one").click()
        await page.get_by_role("button", name="Another one").nth(1).wait_for()
        await page.get_by_role("button", name="As file").first.click()
        file = page.get_by_role("link", name="KB")
        await file.wait_for()
        async with page.expect_download() as download:
            await file.click()
        assert Path(await (await download.value).path()).read_bytes().startswith(b"\x89PNG")

        before = await page.locator(".message").all_inner_texts()
        await page.reload()
        await file.wait_for()
        assert await page.locator(".message").all_inner_texts() == before

        await page.get_by_role("button", name="Commands").click()
        await page.get_by_role("button", name="/forget_me erase").click()
        await page.get_by_role("button", name="Yes, forget me").click()
        await page.get_by_text("nothing is kept of you any more").wait_for()
        await page.locator(".photo, .file").first.wait_for(state="detached")


async def test_nothing_serious_is_found_on_a_page_with_all_there_is(browser: Any) -> None:
    async with SandboxTelegram() as telegram, bot_of(telegram) as bot:
        telegram.person(ANNA).write("Hello")
        text = "<b>Bold</b>, <tg-spoiler>hidden</tg-spoiler>, /photo"
        await bot.send_message(ANNA, text, parse_mode="HTML")
        await bot.send_photo(ANNA, BufferedInputFile(png("red"), "a.png"), has_spoiler=True)
        await bot.send_photo(ANNA, BufferedInputFile(png("blue"), "b.png"), caption="By the sea")
        await bot.send_document(ANNA, BufferedInputFile(png("blue"), "b.png"))
        await bot.send_message_draft(ANNA, 7, text="I draw", can_stop=True)
        found = {}
        async with chromium.opened_page(browser, f"{telegram.url}/chat/{ANNA}") as page:
            await page.get_by_text("I draw").wait_for()
            for scheme in ("light", "dark"):
                await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                await bot.send_chat_action(ANNA, "upload_photo")
                await page.get_by_role("banner").get_by_text("sending a photo…").wait_for()
                found[scheme] = await chromium.serious_findings(page)
            width = await page.evaluate("document.documentElement.scrollWidth")

    assert found == {"light": [], "dark": []}
    assert width <= chromium.PHONE["width"], "it has to fit a phone"


async def test_what_a_chat_says_never_becomes_markup(browser: Any) -> None:
    attack = "<img src=x onerror=\"document.title='broken'\">"
    async with SandboxTelegram() as telegram, bot_of(telegram) as bot:
        telegram.person(ANNA).write(attack)
        await bot.send_photo(ANNA, BufferedInputFile(png("red"), "a.png"), caption=attack)
        async with chromium.opened_page(browser, telegram.url) as page:
            assert await chromium.serious_findings(page) == []
            await page.get_by_role("link", name=attack).click()
            await page.get_by_text(attack).nth(1).wait_for()

            assert await page.title() == "Sandbox"
            assert await page.locator(".words img").count() == 0


async def test_a_russian_person_needs_no_more_than_a_keyboard(browser: Any) -> None:
    async with SandboxTelegram() as telegram:
        async with chromium.opened_page(
            browser, f"{telegram.url}/chat/{ANNA}", locale="ru-RU"
        ) as page:
            await page.get_by_role("button", name="Начать").focus()
            await page.keyboard.press("Enter")
            await page.get_by_text("/start").wait_for()
            await page.keyboard.type("Привет")
            await page.keyboard.press("Enter")
            await page.get_by_role("log").get_by_text("Привет").wait_for()

        written = list(telegram.chats.current[ANNA].values())

    assert [message.text for message in written] == ["/start", "Привет"]
    assert {str((message.sender or {})["language_code"]) for message in written} == {"ru"}


@pytest.mark.parametrize("width", [375, 1280])
async def test_a_long_message_is_one_line_in_the_list_of_chats(browser: Any, width: int) -> None:
    async with SandboxTelegram() as telegram:
        telegram.person(ANNA).write("Where the river bends, " * 30)
        async with chromium.opened_page(
            browser, telegram.url, viewport={"width": width, "height": 780}
        ) as page:
            row = page.get_by_role("listitem")
            await row.wait_for()
            box = await row.bounding_box()
            overflows = await page.evaluate(
                "[document.documentElement, document.querySelector('main')]"
                ".some((each) => each.scrollWidth > each.clientWidth)"
            )

    assert not overflows
    assert box["height"] < 60, "name and words are on one line"


@pytest.mark.parametrize(("locale", "query"), [("ru-RU", ""), ("en-GB", "?lang=ru")])
async def test_the_list_of_chats_speaks_russian_and_hands_a_chosen_language_on(
    browser: Any, locale: str, query: str
) -> None:
    async with SandboxTelegram() as telegram:
        telegram.person(ANNA).write("Hello")
        async with chromium.opened_page(browser, f"{telegram.url}/{query}", locale=locale) as page:
            await page.get_by_role("heading", name="Чаты").wait_for()
            await page.get_by_role("link", name="Начать чат").click()
            await page.get_by_role("button", name="Начать").wait_for()

            assert page.url == f"{telegram.url}/chat/{ANNA + 1}{query}"


async def test_a_time_is_shown_by_the_clock_of_the_reader(browser: Any) -> None:
    noon = datetime(2026, 11, 29, 12, tzinfo=UTC)
    unix_time = int(noon.timestamp())
    entity = MessageEntity(
        type="date_time", offset=8, length=9, unix_time=unix_time, date_time_format="t"
    )
    async with SandboxTelegram() as telegram, bot_of(telegram) as bot:
        await bot.send_message(ANNA, "Free at 12:00 UTC.", entities=[entity])
        async with chromium.opened_page(
            browser, f"{telegram.url}/chat/{ANNA}", timezone_id="Asia/Vladivostok"
        ) as page:
            shown = await page.locator(".words").inner_text()

    assert shown == "Free at 22:00."


async def test_what_did_not_get_through_is_said_and_nothing_is_lost(browser: Any) -> None:
    key = InlineKeyboardButton(text="Cancel", callback_data="cancel")
    keyboard = InlineKeyboardMarkup(inline_keyboard=[[key]])
    errors: list[str] = []
    async with SandboxTelegram() as telegram, bot_of(telegram) as bot:
        await bot.send_message(ANNA, "Drawing", reply_markup=keyboard)
        async with chromium.opened_page(browser, f"{telegram.url}/chat/{ANNA}") as page:
            page.on("pageerror", lambda error: errors.append(str(error)))
            cancel = page.get_by_role("button", name="Cancel")
            await cancel.wait_for()
            await page.context.set_offline(True)
            await say(page, "Hello")
            await page.get_by_role("alert").get_by_text("could not be sent").wait_for()
            await cancel.click()
            await page.get_by_text("The button could not be pressed.").wait_for()
            is_pressed = await page.locator(".pressed").count()
            assert await chromium.serious_findings(page) == []
            await page.context.set_offline(False)
            await page.get_by_label("Message", exact=True).press("Enter")
            await page.get_by_role("log").get_by_text("Hello").wait_for()

            assert not await page.get_by_role("alert").is_visible()
            assert await page.get_by_label("Message", exact=True).input_value() == ""

    assert (errors, is_pressed) == ([], 0)


async def test_a_long_text_is_sent_as_several_messages_and_a_short_one_has_no_scrollbar(
    browser: Any,
) -> None:
    async with SandboxTelegram() as telegram:
        async with chromium.opened_page(browser, f"{telegram.url}/chat/{ANNA}") as page:
            field = page.get_by_label("Message", exact=True)
            scrolls = []
            for words in ("one line", "two\nlines", "\n".join("three")):
                await field.fill(words)
                scrolls.append(await field.evaluate("it => it.scrollHeight > it.clientHeight"))
            await say(page, "😀" * 5000)
            last = page.locator(".message").nth(1)
            await last.wait_for()
            await field.fill("\n" * 5)
            for _ in range(2):  # what follows a change of size is done within the next frame
                await page.evaluate("new Promise(requestAnimationFrame)")
            message, composer = (
                await last.bounding_box(),
                await page.locator("footer").bounding_box(),
            )

        written = [str(each.text) for each in telegram.chats.current[ANNA].values()]

    assert scrolls == [False, False, False]
    assert message["y"] + message["height"] <= composer["y"]
    assert written == ["😀" * 4096, "😀" * 904]


async def test_the_focus_stays_on_a_button_and_goes_on_to_the_field_when_it_is_gone(
    browser: Any,
) -> None:
    async with SandboxTelegram() as telegram, bot_of(telegram) as bot:
        key = InlineKeyboardButton(text="Lina", callback_data="lina")
        keyboard = InlineKeyboardMarkup(inline_keyboard=[[key]])
        sent = await bot.send_message(ANNA, "/privacy. Who?", reply_markup=keyboard)
        async with chromium.opened_page(browser, f"{telegram.url}/chat/{ANNA}") as page:
            lina = page.get_by_role("button", name="Lina")
            await page.get_by_role("button", name="/privacy").focus()
            await page.keyboard.press("Tab")
            await page.keyboard.press("Enter")
            await sent.edit_text("/privacy. Who now?", reply_markup=keyboard)
            await page.get_by_text("Who now?").wait_for()
            stays = await lina.evaluate("it => it === document.activeElement")
            await sent.edit_text("/privacy. Lina")
            await lina.wait_for(state="detached")
            focused = await page.evaluate("document.activeElement.id")

    assert (stays, focused) == (True, "text")


async def test_stop_under_a_draft_says_that_it_was_stopped(browser: Any) -> None:
    async with SandboxTelegram() as telegram, bot_of(telegram) as bot:
        await bot.send_message_draft(ANNA, 7, text="I draw", can_stop=True)
        async with chromium.opened_page(browser, f"{telegram.url}/chat/{ANNA}") as page:
            await page.get_by_role("button", name="Stop").click()
            await page.get_by_role("status").get_by_text("Stopped.").wait_for()
            await page.get_by_text("I draw").wait_for(state="detached")
