"""`imagegen doctor`: its output as text and as JSON, its exit codes, and the example of its page."""

import asyncio
import re
from pathlib import Path

from imagegen.sandbox.comfyui.state import HostFlags
from tests.support import command
from tests.support.command import CommandResult
from tests.support.product import ProductFactory, RunningProduct

PAGE = Path(__file__).parents[3] / "docs" / "doctor.md"
QUIET = HostFlags(disable_metadata=True)


async def test_a_product_that_works_is_green(products: ProductFactory, tmp_path: Path) -> None:
    async with products.start(flags=QUIET) as product:
        await product.picture()
        ended = await _doctor(product, tmp_path, "--json")

    report = ended.json
    findings = [each for subject in report["subjects"] for each in subject["findings"]]
    assert [each for each in findings if each["level"] != "green"] == []
    assert (report["worst"], ended.code, ended.stderr) == ("green", 0, "")
    token = next(each for each in report["settings"] if each["name"] == "TELEGRAM_BOT_TOKEN")
    assert (token["value"], token["source"], token["is_masked"]) == ("***", "environment", True)
    assert product.telegram.token not in ended.stdout


async def test_the_example_of_the_page_is_what_the_command_says(
    products: ProductFactory, tmp_path: Path
) -> None:
    async with products.start(hosts=2, flags=QUIET) as product:
        await product.picture()
        await product.hosts[1].kill()
        ended = await _doctor(product, tmp_path)

    assert ended.code == 1
    assert _as_in_the_docs(ended.stdout, product, tmp_path) == _example()


async def test_what_is_broken_is_red() -> None:
    ended = await command.run("doctor", "--timeout", "1")

    assert ended.code == 2
    assert "red     DATABASE_URL is not set, must be postgresql://" in ended.stdout
    assert "-> set it in the environment or a .env file" in ended.stdout
    assert "yellow  this was not asked, since its settings are wrong" in ended.stdout


async def _doctor(product: RunningProduct, store: Path, *arguments: str) -> CommandResult:
    settings = product.settings
    assert settings.redis_url is not None
    # Until the worker has said that it runs, and that the slot of its picture is free again.
    while True:
        ended = await command.run(
            "doctor",
            "--timeout",
            "20",
            *arguments,
            DATABASE_URL=settings.database_url.get_secret_value(),
            REDIS_URL=settings.redis_url.get_secret_value(),
            COMFYUI_HOSTS=",".join(host.address for host in product.hosts),
            TELEGRAM_BOT_TOKEN=product.telegram.token,
            TELEGRAM_API_URL=product.telegram.url,
            IMAGE_STORE=(store / "images").as_uri(),
            REDIS_PORT="",
        )
        if "no worker has said" not in ended.stdout and " 0 of " in ended.stdout:
            return ended
        await asyncio.sleep(0)


def _as_in_the_docs(text: str, product: RunningProduct, store: Path) -> str:
    """Put names and figures of the page in the place of those of this run."""
    settings = product.settings
    names = {
        product.hosts[0].address: "gpu-1:8188",
        product.hosts[1].address: "gpu-2:8188",
        settings.database.place: "postgresql://db:5432/chatflow",
        settings.redis.address: "redis://cache:6379",
        product.telegram.url: "https://api.telegram.org",
        str(store): "/var/lib/chatflow-imagegen",
    }
    for name, told in names.items():
        text = text.replace(name, told)
    for pattern, told in (
        (r"sandbox with [\d.]+ of", "NVIDIA GeForce RTX 4090 with 14.6 of"),
        (r"PostgreSQL [\d.]+ at", "PostgreSQL 18.6 at"),
        (r"Valkey [\d.]+ at", "Valkey 9.1.2 at"),
        (r"[-\d]+ connections are left", "188 connections are left"),
        (r"[\d.]+ GiB are free", "61.3 GiB are free"),
        (r"\S+ \S+ runs:", "imagegen-1 0.1.0 runs:"),
        (r"@\w+, \d+", "@julie_bot, 123456789"),
        (r"in [\d.]+ s$", "in 0.7 s"),
    ):
        text = re.sub(pattern, told, text, flags=re.MULTILINE)
    return text.strip()


def _example() -> str:
    _, _, rest = PAGE.read_text("utf-8").partition("    $ imagegen doctor\n")
    block = re.match(r"(?:(?:    .*)?\n)+", rest)
    assert block is not None
    return "\n".join(line[4:] for line in block[0].splitlines()).strip()
