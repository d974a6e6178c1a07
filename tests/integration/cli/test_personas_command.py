"""`imagegen personas`: what there is, what is the operator's own, and reading it anew."""

import asyncio
import shutil
import signal
from pathlib import Path

import pytest
from redis.asyncio import Redis

from imagegen import resources
from imagegen.monitoring import host_status
from tests.support import command, worker_process
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory

LINA = resources.path("workflows") / "lina"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return a directory with a persona that replaces a shipped one, and one that is new."""
    directory = tmp_path / "personas"
    (directory / "lina").mkdir(parents=True)
    text = (LINA / "persona.toml").read_text()
    (directory / "lina" / "persona.toml").write_text(text.replace("age = 24", "age = 31"))
    shutil.copytree(LINA, directory / "anna")
    return directory


async def test_the_list_says_whose_each_persona_is_and_which_are_broken(own: Path) -> None:
    (own / "anna" / "persona.toml").write_text("nothing = [")

    rows = (await command.run("personas", "list", "--json", PERSONAS_DIR=str(own))).json
    text = await command.run("personas", "list", PERSONAS_DIR=str(own))

    by_name = {row["persona"]: row for row in rows}
    assert len(by_name) == 9
    assert (by_name["lina"]["state"], by_name["lina"]["from"]) == ("ok", "PERSONAS_DIR")
    assert (by_name["ash"]["state"], by_name["ash"]["from"]) == ("ok", "WORKFLOWS_DIR")
    assert by_name["anna"]["state"] == "broken"
    assert "anna is broken: anna/persona.toml" in text.stdout
    assert text.code == 1


async def test_the_shipped_personas_are_well() -> None:
    result = await command.run("personas", "list")

    assert (result.code, len(result.stdout.splitlines())) == (0, 9)


async def test_a_diff_shows_what_changes_and_what_is_new(own: Path) -> None:
    diffs = (await command.run("personas", "diff", "--json", PERSONAS_DIR=str(own))).json
    text = await command.run("personas", "diff", "LINA", PERSONAS_DIR=str(own))

    assert [(each["persona"], each["file"], each["is_new"]) for each in diffs] == [
        ("anna", "persona.toml", True),
        ("anna", "workflow.json", True),
        ("lina", "persona.toml", False),
    ]
    assert "-age = 24\n+age = 31" in text.stdout
    assert "anna" not in text.stdout
    assert text.code == 1


async def test_a_graph_that_is_only_ordered_otherwise_does_not_differ(own: Path) -> None:
    shutil.rmtree(own / "anna")
    (own / "lina" / "persona.toml").write_text((LINA / "persona.toml").read_text())
    shutil.copy(LINA / "workflow.json", own / "lina" / "workflow.json")

    result = await command.run("personas", "diff", PERSONAS_DIR=str(own))

    assert (result.stdout, result.code) == ("no differences\n", 0)


async def test_what_cannot_be_compared_is_said_in_one_sentence(own: Path) -> None:
    without = await command.run("personas", "diff")
    unknown = await command.run("personas", "diff", "nobody", PERSONAS_DIR=str(own))

    assert (without.code, unknown.code) == (2, 2)
    assert without.stderr.startswith("imagegen: PERSONAS_DIR is not set")
    assert "has no folder 'nobody'" in unknown.stderr


async def test_a_reload_without_a_worker_and_without_redis_says_so(redis_url: str) -> None:
    no_worker = await command.run("personas", "reload", REDIS_URL=redis_url)
    no_redis = await command.run("personas", "reload")

    assert (no_worker.stdout, no_worker.code) == ("no worker runs\n", 1)
    assert no_redis.code == 2
    assert "redis://localhost:1" in no_redis.stderr


async def test_two_workers_read_the_folders_anew_all_or_nothing(
    products: ProductFactory, redis_url: str, own: Path
) -> None:
    shutil.rmtree(own / "anna")
    async with products.start(personas_dir=own) as product, product.worker():
        await _until_published(redis_url, workers=2)
        shutil.copytree(LINA, own / "anna")
        (own / "lina" / "persona.toml").write_text("nothing = [")
        refused = await command.run("personas", "reload", REDIS_URL=redis_url)
        unknown = await product.picture(persona="anna")

        (own / "lina" / "persona.toml").write_text((LINA / "persona.toml").read_text())
        done = await command.run("personas", "reload", "--json", REDIS_URL=redis_url)
        drawn = await product.picture(persona="anna", dialog_id=2, chat_id=2)

    assert refused.code == 1
    assert refused.stdout.count("nothing changed, lina/persona.toml") == 2
    assert unknown.error_code == "unknown_persona"
    assert done.code == 0
    assert [(answer["added"], answer["changed"]) for answer in done.json] == [
        (["anna"], ["lina"]),
        (["anna"], ["lina"]),
    ]
    assert drawn.state == "delivered"


async def _until_published(redis_url: str, *, workers: int) -> None:
    async with Redis.from_url(redis_url, db=4) as redis, asyncio.timeout(PATIENCE_S):
        while await host_status.count_workers(redis) < workers:  # noqa: ASYNC110 (keys)
            await asyncio.sleep(0.05)


async def test_sighup_reloads_one_worker(
    products: ProductFactory, tmp_path: Path, own: Path
) -> None:
    async with products.start(works=False) as product:
        variables = worker_process.environment(product.settings, PERSONAS_DIR=str(own))
        async with worker_process.running(
            tmp_path / "worker", variables, command=worker_process.IMAGEGEN
        ) as worker:
            shutil.rmtree(own / "anna")
            worker.ask_to_stop(signal.SIGHUP)
            await worker.wait_for_log("personas reloaded")

            [line] = [each for each in worker.events if each["event"] == "personas reloaded"]
            assert (line["removed"], line["changed"]) == (["anna"], [])
            assert await worker.stop() == 0
