"""Debian's Chromium, driven by Playwright, where both are installed."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any

PHONE = {"width": 390, "height": 780}

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def why_not() -> str | None:
    """Return why no page can be opened, None if one can."""
    if find_spec("playwright") is None or find_spec("axe_playwright_python") is None:
        return "no driver of a browser: make browser"
    if _CHROMIUM is None:
        return "no Chromium (Debian: apt install chromium)"
    return None


@asynccontextmanager
async def running() -> AsyncIterator[Any]:
    """Run a browser while the block runs."""
    from playwright.async_api import async_playwright  # noqa: PLC0415 (may not be installed)

    async with async_playwright() as playwright:
        # Chromium's own sandbox does not work for root.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = await playwright.chromium.launch(executable_path=_CHROMIUM, args=arguments)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def opened_page(browser: Any, address: str, **options: Any) -> AsyncIterator[Any]:
    """Open an address at a phone's width; `options` are those of Playwright's `new_context`.

    The page shares neither cookies nor storage with other pages of the browser.
    """
    usual = {"viewport": PHONE, "locale": "en-GB", "reduced_motion": "reduce"}
    context = await browser.new_context(**(usual | options))
    try:
        page = await context.new_page()
        await page.goto(address)
        yield page
    finally:
        await context.close()


async def serious_findings(page: Any) -> list[str]:
    """Return what axe-core finds on a page and calls serious or critical."""
    from axe_playwright_python.async_playwright import Axe  # noqa: PLC0415 (may not be installed)

    found = (await Axe().run(page)).response["violations"]
    return [
        f"{each['id']}: {node['html']}"
        for each in found
        if each["impact"] in {"serious", "critical"}
        for node in each["nodes"]
    ]
