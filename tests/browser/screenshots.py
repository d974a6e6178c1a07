"""Makes the pictures of the docs: `make screenshots`. Everything in them is real but for the hosts."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.tables import ImageRequest
from imagegen import logs
from imagegen.db import migrations
from imagegen.db.engine import connect
from imagegen.requests.pauses import Pauses, PauseScope
from imagegen.sandbox.demo import chat_page
from imagegen.sandbox.servers.servers import Servers, running_servers
from tests.browser import chromium
from tests.support import status_rows
from tests.support.conversations import sessions_of
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.product import ProductFactory, RunningProduct
from tests.support.status_visit import TOKEN

_FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
_GAP = 24
# Neither white nor black: pages are read on both.
_BETWEEN = (128, 136, 132)
_PERSON = 1001
_SECONDS_PER_PICTURE = 3.0
# So long that something is drawn while the browser starts.
_SECONDS_PER_PICTURE_AT_NIGHT = 10.0


def main() -> None:
    """Chat twice, in a light and in a dark page, look at the status page, and write the pictures."""
    with running_servers() as servers, tempfile.TemporaryDirectory() as home:
        migrations.upgrade(servers.database_url)
        asyncio.run(_run(servers, Path(home)))


async def _run(servers: Servers, home: Path) -> None:
    engine = connect(servers.database_url)
    try:
        products = ProductFactory(
            servers.database_url, servers.redis_url, sessions_of(engine), home
        )
        settings: dict[str, Any] = {
            name.lower(): value for name, value in chat_page.WORKER_SETTINGS.items()
        }
        async with products.start(seconds_per_picture=_SECONDS_PER_PICTURE, **settings) as product:
            await _make_all(product)
        await _status_page(products, engine)
    finally:
        await engine.dispose()


async def _make_all(product: RunningProduct) -> None:
    personas = ["lina", "julie", "may", "stacy", "taya", "una", "marriana", "ash"]
    async with chat_page.running_bot(product.hook, product.telegram, personas=personas):
        async with _page(product, _PERSON, "light") as page:
            start, photo = await _photo_in_the_light(page)
        async with _page(product, _PERSON + 1, "dark") as page:
            hidden, progress = await _progress_in_the_dark(page)
    _write("chat.webp", [photo, progress])
    _write("chat-start.webp", [start, hidden])


async def _status_page(products: ProductFactory, engine: AsyncEngine) -> None:
    """Show a night with some trouble: three hosts, of which one is away, and a paused persona."""
    port, sessions = free_port(), sessions_of(engine)
    async with products.start(
        hosts=3,
        seconds_per_picture=_SECONDS_PER_PICTURE_AT_NIGHT,
        web_port=port,
        status_token=TOKEN,
    ) as product:
        first = await product.ask(dialog_id=501, persona="may")
        await product.hook.wait(first, timeout=PATIENCE_S)
        async with sessions.begin() as session:
            query = select(ImageRequest.image).where(ImageRequest.id == first.id)
            image = (await session.execute(query)).scalar_one()
        await status_rows.last_hours(sessions, image)
        await Pauses(engine).pause(PauseScope.PERSONA, "ash")
        await product.hosts[2].kill()
        personas = ["lina", "may", "stacy", "taya", "una", "ash", "julie", "lina", "ash"]
        for number, persona in enumerate(personas):
            await product.ask(dialog_id=601 + number, persona=persona)
        address = f"http://127.0.0.1:{port}/"
        async with _signed_in(address, "dark", viewport=chromium.PHONE) as page:
            shots = [await page.screenshot()]
            for title in ("#failures-title", "#charts-title"):
                await page.locator(title).evaluate("(node) => scrollTo(0, node.offsetTop - 70)")
                shots.append(await page.screenshot())
        _write("status-phone.webp", shots)
        desk = {"width": 1280, "height": 1640}
        async with _signed_in(address, "light", viewport=desk, device_scale_factor=1) as page:
            _write("status-desk.webp", [await page.screenshot()])


@asynccontextmanager
async def _signed_in(address: str, scheme: str, **options: Any) -> AsyncIterator[Any]:
    usual = {"color_scheme": scheme, "device_scale_factor": 2}
    async with (
        chromium.running() as browser,
        chromium.opened_page(browser, address, **(usual | options)) as page,
    ):
        await page.get_by_label("Token").fill(TOKEN)
        await page.keyboard.press("Enter")
        await page.get_by_text("the persona ash is paused").first.wait_for()
        await page.get_by_role("button", name="Show a picture").first.wait_for()
        yield page


async def _photo_in_the_light(page: Any) -> tuple[bytes, bytes]:
    """Return the choice of a persona, and a photo that has come."""
    await page.get_by_role("button", name="Start").click()
    await page.get_by_role("button", name="Lina").wait_for()
    start = await _settled(page)
    await page.get_by_role("button", name="Lina").click()
    await _answered(page, 3)
    await _say(page, "Hi! How was your day?")
    await page.get_by_role("button", name="No", exact=True).click()
    await page.get_by_text("all photos stay harmless.", exact=False).last.wait_for()
    await _say(page, "I am in a café, and it rains. Where are you?")
    await _say(page, "Show me the roof terrace in the evening!")
    await page.get_by_role("button", name="Another one").wait_for()
    return start, await _settled(page)


async def _progress_in_the_dark(page: Any) -> tuple[bytes, bytes]:
    """Return a photo under a spoiler, and one that is being drawn."""
    await page.get_by_role("button", name="Start").click()
    await page.get_by_role("button", name="Stacy").click()
    await _answered(page, 3)
    await _say(page, "Good morning! What do you see?")
    await page.get_by_role("button", name="Yes, I am 18 or older").click()
    await page.get_by_text("Thank you.").wait_for()
    await _say(page, "The valley must be beautiful.")
    await _say(page, "I would love to see the meadow.")
    await page.get_by_role("button", name="Show the hidden photo").wait_for()
    hidden = await _settled(page)
    await page.get_by_role("button", name="Show the hidden photo").click()
    await page.get_by_label("Message", exact=True).fill("/photo by the wood stove")
    await page.keyboard.press("Enter")
    await page.get_by_role("banner").get_by_text("sending a photo…").wait_for()
    return hidden, await _settled(page)


async def _say(page: Any, words: str) -> None:
    count = await page.locator(".message").count()
    await page.get_by_label("Message", exact=True).fill(words)
    await page.keyboard.press("Enter")
    await _answered(page, count + 2)


async def _answered(page: Any, count: int) -> None:
    await page.locator(".message").nth(count - 1).wait_for()


async def _settled(page: Any) -> bytes:
    """Return a screenshot after all images are there and the newest message is in view."""
    await page.wait_for_function("[...document.images].every((image) => image.complete)")
    await page.evaluate("document.activeElement.blur()")
    await page.evaluate(
        "document.getElementById('log').scrollTop = document.getElementById('log').scrollHeight"
    )
    shot: bytes = await page.screenshot()
    return shot


@asynccontextmanager
async def _page(product: RunningProduct, chat_id: int, scheme: str) -> AsyncIterator[Any]:
    address = f"{product.telegram.url}/chat/{chat_id}"
    options = {"color_scheme": scheme, "device_scale_factor": 2}
    async with (
        chromium.running() as browser,
        chromium.opened_page(browser, address, **options) as page,
    ):
        yield page


def _write(name: str, shots: Sequence[bytes]) -> None:
    """Put pictures side by side into one file, small enough for a page of docs."""
    images = [Image.open(BytesIO(shot)).convert("RGB") for shot in shots]
    width = sum(image.width for image in images) + _GAP * (len(images) - 1)
    joined = Image.new("RGB", (width, images[0].height), _BETWEEN)
    left = 0
    for image in images:
        joined.paste(image, (left, 0))
        left += image.width + _GAP
    _FOLDER.mkdir(exist_ok=True)
    joined.save(_FOLDER / name, quality=88, method=6)
    print(_FOLDER / name)  # noqa: T201 (a script)


if __name__ == "__main__":
    if (why_not := chromium.why_not()) is not None:
        sys.exit(f"make screenshots: {why_not}")
    logs.only_warnings()
    main()
