"""`imagegen migrate`, up and down."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from imagegen.cli.app import main
from tests.support import schema_dump

_SCHEMA = (Path(__file__).parents[2] / "support" / "foreign_schema.sql").read_text("utf-8")


@pytest.fixture
async def bots_url(empty_database_url: str) -> str:
    await schema_dump.execute(empty_database_url, _SCHEMA)
    return empty_database_url


async def migrate(url: str, *arguments: str, answer: str | None = None) -> Result:
    runner = CliRunner(env={"DATABASE_URL": url})
    return await asyncio.to_thread(runner.invoke, main, ["migrate", *arguments], input=answer)


@pytest.mark.parametrize(
    ("arguments", "answer"), [(["--down", "--yes"], None), (["--down"], "y\n")]
)
async def test_down_leaves_the_bots_database_as_it_was(
    bots_url: str, arguments: list[str], answer: str | None
) -> None:
    before = await schema_dump.schema(bots_url), await schema_dump.rows(bots_url)
    assert (await migrate(bots_url)).output == "the database is up to date\n"

    down = await migrate(bots_url, *arguments, answer=answer)

    assert (down.exit_code, down.output.splitlines()[-1]) == (
        0,
        "nothing of ours is in the database",
    )
    assert (await schema_dump.schema(bots_url), await schema_dump.rows(bots_url)) == before


@pytest.mark.parametrize("answer", ["n\n", "\n", None])
async def test_without_a_yes_nothing_is_changed(bots_url: str, answer: str | None) -> None:
    await migrate(bots_url)
    before = await schema_dump.schema(bots_url)

    down = await migrate(bots_url, "--down", answer=answer)

    assert down.exit_code == 1
    assert await schema_dump.schema(bots_url) == before


async def test_the_question_names_the_database_and_no_password(bots_url: str) -> None:
    down = await migrate(bots_url, "--down", answer="n\n")

    assert "all requests, deliveries and age confirmations in " in down.output
    assert bots_url.rpartition("/")[2] in down.output
    assert "@" not in down.output


async def test_a_database_that_does_not_exist_is_said_with_the_setting_to_look_at(
    bots_url: str,
) -> None:
    up = await migrate(f"{bots_url}-of-nobody")

    assert up.exit_code == 1
    assert " does not exist: look at DATABASE_URL (" in up.output


async def test_a_yes_to_the_way_up_is_misuse(bots_url: str) -> None:
    up = await migrate(bots_url, "--yes")

    assert (up.exit_code, "goes with --down" in up.output) == (2, True)
