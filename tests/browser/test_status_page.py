"""An operator at the status page: a real worker, a real browser, on a phone at night."""

from typing import Any

import pytest
from sqlalchemy import func, select, update

from chatflow_hook.tables import ImageRequest, State
from tests.browser import chromium
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.product import ProductFactory
from tests.support.status_visit import READ_TOKEN, TOKEN

PATIENCE_MS = 20_000
DESKTOP = {"width": 1280, "height": 900}

_WHY_NOT = chromium.why_not()
pytestmark = pytest.mark.skipif(_WHY_NOT is not None, reason=_WHY_NOT or "")


async def sign_in(page: Any, token: str) -> None:
    await page.get_by_label("Token").fill(token)
    await page.keyboard.press("Enter")


async def test_an_operator_signs_in_retries_pauses_looks_at_a_picture_and_a_reader_only_looks(
    products: ProductFactory, sessions: Sessions
) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}/"
    async with products.start(
        web_port=port, status_token=TOKEN, status_read_token=READ_TOKEN
    ) as product:
        delivered = await product.ask(dialog_id=1)
        await product.hook.wait(delivered, timeout=PATIENCE_S)
        failed = await product.ask(dialog_id=2, persona="nobody")
        await product.hook.wait(failed, timeout=PATIENCE_S)
        async with sessions.begin() as session:
            await session.execute(
                update(ImageRequest)
                .where(ImageRequest.id == failed.id)
                .values(persona="ash", error_code="drawing_failed", told_end=func.now())
            )

        async with (
            chromium.running() as browser,
            chromium.opened_page(browser, address, color_scheme="dark") as page,
        ):
            page.set_default_timeout(PATIENCE_MS)
            faults: list[str] = []
            page.on("console", lambda said: faults.append(said.text))
            page.on("pageerror", lambda error: faults.append(str(error)))
            await sign_in(page, "a wrong one of the right size")
            await page.get_by_text("That is not the token.").wait_for()
            found = await chromium.serious_findings(page)
            await sign_in(page, TOKEN)
            await page.get_by_text("live", exact=True).wait_for()

            found += await findings_in_both_schemes(page)
            width = await page.evaluate("document.documentElement.scrollWidth")
            await page.get_by_role("button", name="Show a picture of lina").click()
            await page.get_by_role("button", name="Hide a picture of lina").wait_for()
            await pause_and_retry_and_resume_by_keyboard(page)
            retried = await product.hook.wait(failed, timeout=PATIENCE_S)

            await page.goto(f"{address}#/requests/{delivered.id}")
            await page.get_by_text("ended: delivered").wait_for()
            await page.get_by_text("send 1: sent").wait_for()
            found += await chromium.serious_findings(page)
            await page.get_by_role("link", name="‹ All").click()
            await page.get_by_role("button", name="Sign out").click()
            await sign_in(page, READ_TOKEN)
            await page.get_by_text("live, to look only").wait_for()
            await page.get_by_text("Nothing is paused.").wait_for()
            buttons = await page.get_by_role("button", name="Pause").count()

    assert found == []
    assert width <= chromium.PHONE["width"], "it has to fit a phone"
    assert retried.state is State.DELIVERED
    assert buttons == 0
    assert [fault for fault in faults if "401" not in fault] == []


async def findings_in_both_schemes(page: Any) -> list[str]:
    """Return what axe-core finds on the whole page, dark on a phone and light on a desk."""
    await page.get_by_text("up", exact=True).wait_for()
    await page.get_by_role("button", name="Show a picture of lina").wait_for()
    found = []
    for scheme, size in (("light", DESKTOP), ("dark", chromium.PHONE)):
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        await page.set_viewport_size(size)
        found += await chromium.serious_findings(page)
    return found


async def pause_and_retry_and_resume_by_keyboard(page: Any) -> None:
    await page.get_by_label("Pause", exact=True).select_option("persona ash")
    await page.get_by_label("Pause", exact=True).focus()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.get_by_text("The persona ash is paused.").wait_for()
    banner = page.get_by_role("alert").filter(has_text="Pictures are made, but look at this")
    await banner.get_by_text("imagegen resume --persona ash").wait_for()
    await page.get_by_role("button", name="Try all that ended with drawing_failed").focus()
    await page.keyboard.press("Enter")
    await page.get_by_text("1 of 1 put back into the queue.").wait_for()
    await page.get_by_role("button", name="Resume the persona ash").focus()
    await page.keyboard.press("Enter")


async def test_what_is_in_a_row_never_becomes_markup(
    products: ProductFactory, sessions: Sessions
) -> None:
    attack = "<img src=x onerror=\"document.title='broken'\">"
    port = free_port()
    async with products.start(web_port=port) as product:
        failed = await product.ask(persona="nobody")
        await product.hook.wait(failed, timeout=PATIENCE_S)
        async with sessions.begin() as session:
            await session.execute(
                update(ImageRequest).values(
                    persona=attack, error_code=attack, error_sentence=attack, host=attack
                )
            )
            assert (await session.execute(select(func.count()).select_from(ImageRequest))).scalar()
        async with (
            chromium.running() as browser,
            chromium.opened_page(browser, f"http://127.0.0.1:{port}/") as page,
        ):
            await page.get_by_text(attack).first.wait_for()
            await page.goto(f"http://127.0.0.1:{port}/#/requests/{failed.id}")
            await page.get_by_role("heading", name=attack).wait_for()

            assert await page.title() == "Pictures"
            assert await page.locator("img").count() == 0
