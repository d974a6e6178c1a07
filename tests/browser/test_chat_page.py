"""A person chats with the persona bot on the chat page: the real bot, hook, worker and browser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiogram.types import BufferedInputFile

from imagegen.sandbox.demo import chat_page
from imagegen.sandbox.telegram import SandboxTelegram
from tests.browser import chromium
from tests.support.aiogram_bot import bot_of
from tests.support.bot_api import png
from tests.support.product import ProductFactory, RunningProduct

PATIENCE_MS = 20_000
ANNA = 1001

_WHY_NOT = chromium.why_not()
pytestmark = pytest.mark.skipif(_WHY_NOT is not None, reason=_WHY_NOT or "")


@asynccontextmanager
async def chatting(
    products: ProductFactory, **options: Any
) -> AsyncIterator[tuple[Any, RunningProduct]]:
    """Open the page of a chat with the persona bot."""
    async with (
        products.start(seconds_per_picture=0.2, **worker_settings()) as product,
        chat_page.running_bot(product.hook, product.telegram, personas=["lina", "ash"]),
        chromium.opened_page(f"{product.telegram.url}/chat/{ANNA}", **options) as page,
    ):
        page.set_default_timeout(PATIENCE_MS)
        yield page, product


def worker_settings() -> dict[str, Any]:
    return {name.lower(): value for name, value in chat_page.WORKER_SETTINGS.items()}


async def say(page: Any, words: str) -> None:
    await page.get_by_label("Message", exact=True).fill(words)
    await page.keyboard.press("Enter")


async def test_a_person_chats_until_a_photo_comes_reloads_and_is_forgotten(
    products: ProductFactory,
) -> None:
    async with chatting(products) as (page, _):
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
        await page.wait_for_function("!document.querySelector('.photo, .file')")


async def test_nothing_serious_is_found_on_a_page_with_all_there_is() -> None:
    async with SandboxTelegram() as telegram, bot_of(telegram) as bot:
        telegram.person(ANNA).write("Hello")
        text = "<b>Bold</b>, <tg-spoiler>hidden</tg-spoiler>, /photo"
        await bot.send_message(ANNA, text, parse_mode="HTML")
        await bot.send_photo(ANNA, BufferedInputFile(png("red"), "a.png"), has_spoiler=True)
        await bot.send_photo(ANNA, BufferedInputFile(png("blue"), "b.png"), caption="By the sea")
        await bot.send_document(ANNA, BufferedInputFile(png("blue"), "b.png"))
        await bot.send_message_draft(ANNA, 7, text="I draw", can_stop=True)
        found = {}
        async with chromium.opened_page(f"{telegram.url}/chat/{ANNA}") as page:
            await page.get_by_text("I draw").wait_for()
            for scheme in ("light", "dark"):
                await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                await bot.send_chat_action(ANNA, "upload_photo")
                await page.get_by_role("banner").get_by_text("sending a photo…").wait_for()
                found[scheme] = await chromium.serious_findings(page)
            width = await page.evaluate("document.documentElement.scrollWidth")

    assert found == {"light": [], "dark": []}
    assert width <= chromium.PHONE["width"], "it has to fit a phone"


async def test_what_a_chat_says_never_becomes_markup() -> None:
    attack = "<img src=x onerror=\"document.title='broken'\">"
    async with SandboxTelegram() as telegram, bot_of(telegram) as bot:
        telegram.person(ANNA).write(attack)
        await bot.send_photo(ANNA, BufferedInputFile(png("red"), "a.png"), caption=attack)
        async with chromium.opened_page(telegram.url) as page:
            assert await chromium.serious_findings(page) == []
            await page.get_by_role("link", name=attack).click()
            await page.get_by_text(attack).nth(1).wait_for()

            assert await page.title() == "Sandbox"
            assert await page.locator(".words img").count() == 0


async def test_a_russian_person_needs_no_more_than_a_keyboard() -> None:
    async with SandboxTelegram() as telegram:
        async with chromium.opened_page(f"{telegram.url}/chat/{ANNA}", locale="ru-RU") as page:
            await page.get_by_role("button", name="Начать").focus()
            await page.keyboard.press("Enter")
            await page.get_by_text("/start").wait_for()
            await page.keyboard.type("Привет")
            await page.keyboard.press("Enter")
            await page.get_by_role("log").get_by_text("Привет").wait_for()

        written = list(telegram.chats.current[ANNA].values())

    assert [message.text for message in written] == ["/start", "Привет"]
    assert {str((message.sender or {})["language_code"]) for message in written} == {"ru"}
