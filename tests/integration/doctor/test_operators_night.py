"""The sixteen breakages of an operator's night: the doctor names each, and the next step."""

import asyncio
import re
import time
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from sqlalchemy import make_url

from chatflow_hook.settings import RedisSettings
from imagegen.cli import host_table
from imagegen.cli.host_inspection import Inspection
from imagegen.db import migrations
from imagegen.doctor import (
    clocks,
    image_store,
    personas,
    postgresql,
    redis,
    telegram,
    workers,
)
from imagegen.doctor.finding import Check, Level
from imagegen.monitoring import worker_status
from imagegen.monitoring.checks import workers_check
from imagegen.sandbox.comfyui import SandboxComfyUI
from imagegen.sandbox.servers.valkey import ValkeyServer
from imagegen.sandbox.telegram import SandboxTelegram
from imagegen.settings import DatabaseSettings, StoreSettings, TelegramSettings
from imagegen.storage.filesystem import FilesystemImageStore
from tests.benchmarks.chaos import store_faults
from tests.support import broken_databases, doctor, documented_rights, schema_dump
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory, required_models

TIMEOUT_S = doctor.TIMEOUT_S


def _database(url: str) -> Check:
    return partial(postgresql.check, SecretStr(url), timeout_s=TIMEOUT_S)


def _redis(url: str) -> Check:
    return partial(redis.check, _redis_settings(url))


def _redis_settings(url: str) -> RedisSettings:
    return RedisSettings(_env_file=None, redis_url=url)


def _open_redis(url: str) -> Redis:
    client: Redis = Redis.from_url(url, db=4)
    return client


def _changed(url: str, **parts: str) -> str:
    return make_url(url).set(**parts).render_as_string(hide_password=False)  # type: ignore[arg-type]


async def test_01_a_database_that_cannot_store_every_text(database_url: str) -> None:
    async with broken_databases.database_of_encoding(database_url, "SQL_ASCII") as url:
        encoding = await doctor.trouble(_database(url))
        with pytest.raises(migrations.MigrationStopped, match="SQL_ASCII"):
            await asyncio.to_thread(migrations.upgrade, url)

    assert encoding.level is Level.RED
    assert "the encoding of the database is SQL_ASCII" in encoding.sentence
    assert encoding.advice == "move to a database of the encoding UTF8"


async def test_02_a_role_without_a_right_on_one_of_our_tables(database_url: str) -> None:
    grants = [
        each
        for each in documented_rights.grants("worker")
        if each not in ("INSERT ON deliveries", "USAGE ON SEQUENCE deliveries_id_seq")
    ]
    async with broken_databases.weak_role(database_url, *grants) as url:
        finding = await doctor.trouble(_database(url))
        role = make_url(url).username
        for statement in (finding.advice or "").split("; "):
            await schema_dump.execute(database_url, statement)
        after = await doctor.troubles(_database(url))

    assert finding.level is Level.RED
    assert "lacks rights" in finding.sentence
    assert finding.advice == (
        f"GRANT INSERT ON deliveries TO {role}; GRANT USAGE ON SEQUENCE deliveries_id_seq TO {role}"
    )
    assert after == [], "the statements are what was missing"


@pytest.mark.parametrize(
    ("part", "value", "sentence", "advice"),
    [
        pytest.param("password", "hush", "invalid_password, 28P01", "write the password", id="03"),
        pytest.param("database", "nowhere", "3D000", "CREATE DATABASE nowhere", id="04"),
    ],
)
async def test_03_and_04_a_database_that_does_not_let_us_in(
    database_url: str, part: str, value: str, sentence: str, advice: str
) -> None:
    finding = await doctor.trouble(_database(_changed(database_url, **{part: value})))

    assert finding.level is Level.RED
    assert sentence in finding.sentence
    assert advice in (finding.advice or "")
    assert "hush" not in repr(finding)


async def test_05_a_database_that_is_read_only_after_a_failover(database_url: str) -> None:
    await broken_databases.make_read_only(database_url, is_read_only=True)

    finding = await doctor.trouble(_database(database_url))

    assert finding.level is Level.RED
    assert "takes no writes, since it is read-only" in finding.sentence


async def test_a_database_whose_table_is_locked(database_url: str) -> None:
    async with broken_databases.locked_table(database_url) as process:
        finding = await doctor.trouble(_database(database_url))

    assert finding.level is Level.RED
    assert f"image_requests is locked by process {process}" in finding.sentence
    assert "secret" not in repr(finding)
    assert finding.advice == f"wait for its end, or end it: SELECT pg_terminate_backend({process})"


async def test_06_a_database_without_a_connection_left(database_url: str) -> None:
    async with broken_databases.weak_role(database_url, limit=0) as url:
        finding = await doctor.trouble(_database(url))

    assert finding.level is Level.RED
    assert "53300" in finding.sentence
    assert "a worker holds up to 11" in (finding.advice or "")


async def test_07_a_redis_that_is_full() -> None:
    with ValkeyServer() as valkey:
        async with _open_redis(valkey.url) as admin:
            await admin.config_set("maxmemory", "1mb")
            await admin.config_set("maxmemory", "1")

        full, memory = await doctor.troubles(_redis(valkey.url))

    assert (full.level, memory.level) == (Level.RED, Level.YELLOW)
    assert full.sentence.endswith("is full")
    assert "maxmemory" in (full.advice or "")
    assert "maxmemory-policy noeviction" in memory.sentence


async def test_08_a_wrong_redis_password() -> None:
    with ValkeyServer() as valkey:
        url = f"redis://:hush@127.0.0.1:{valkey.port}"
        finding = await doctor.trouble(_redis(url))
        (of_workers,) = await doctor.troubles(partial(workers.check, _redis_settings(url)))

    assert finding.level is Level.RED
    assert "refuses the password" in finding.sentence
    assert "REDIS_PASSWORD" in (finding.advice or "")
    assert "nobody knows which workers run" in of_workers.sentence
    assert "hush" not in repr((finding, of_workers))


async def test_09_a_redis_on_another_port() -> None:
    finding = await doctor.trouble(_redis("redis://127.0.0.1:1"))

    assert finding.level is Level.RED
    assert "redis://127.0.0.1:1 refuses the connection" in finding.sentence
    assert "REDIS_PORT" in (finding.advice or "")


async def test_10_an_image_store_that_is_full(tmp_path: Path) -> None:
    with store_faults.own_disk(tmp_path / "disk", size_bytes=256 * 1024) as disk:
        if disk.cannot_mount:
            pytest.skip(disk.cannot_mount)
        FilesystemImageStore.at(disk.directory.as_uri())
        async with disk.full():
            finding = await doctor.trouble(_store(disk.directory))

    assert finding.level is Level.RED
    assert finding.sentence == f"{disk.directory} takes no picture: No space left on device"
    assert "free space there" in (finding.advice or "")


async def test_10_an_image_store_that_is_nearly_full(tmp_path: Path) -> None:
    with store_faults.own_disk(tmp_path / "disk", size_bytes=256 * 1024) as disk:
        if disk.cannot_mount:
            pytest.skip(disk.cannot_mount)
        FilesystemImageStore.at(disk.directory.as_uri())
        finding = await doctor.trouble(_store(disk.directory))

    assert finding.level is Level.RED
    assert re.search(r"has \d+ KiB left, too little for a large picture", finding.sentence)
    assert "free space there" in (finding.advice or "")


def _store(directory: Path) -> Check:
    settings = StoreSettings(_env_file=None, image_store=directory.as_uri())
    return partial(image_store.check, settings, least_free_bytes=0)


async def test_11_a_clock_that_is_ten_minutes_behind(database_url: str, redis_url: str) -> None:
    check = partial(
        clocks.check,
        database=DatabaseSettings(_env_file=None, database_url=database_url),
        redis=_redis_settings(redis_url),
        fleet=None,
        timeout_s=TIMEOUT_S,
        clock=lambda: time.time() - 600,
    )

    finding = await doctor.trouble(check)

    assert finding.level is Level.RED
    assert "this machine is 600 s behind PostgreSQL, Redis, which agree" in finding.sentence
    assert "NTP" in (finding.advice or "")


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("DELETE FROM imagegen_alembic_version", "is not migrated"),
        ("UPDATE imagegen_alembic_version SET version_num = '0001'", "is older than this worker"),
    ],
)
async def test_12_migrations_that_are_behind(
    database_url: str, statement: str, sentence: str
) -> None:
    await schema_dump.execute(database_url, statement)

    finding = await doctor.trouble(_database(database_url))

    assert finding.level is Level.RED
    assert sentence in finding.sentence
    assert finding.advice == "run `imagegen migrate`"


async def test_13_a_wrong_telegram_token() -> None:
    async with SandboxTelegram() as bot_api:
        settings = TelegramSettings(
            _env_file=None, telegram_bot_token="1:hush", telegram_api_url=bot_api.url
        )
        finding = await doctor.trouble(
            partial(telegram.check, settings, send_to=None, timeout_s=TIMEOUT_S)
        )

    assert finding.level is Level.RED
    assert "does not know the token" in finding.sentence
    assert "BotFather" in (finding.advice or "")
    assert "hush" not in repr(finding)


async def test_14_a_host_that_is_down_and_a_file_that_is_missing_on_another() -> None:
    poor_models = {**required_models(), "loras": ["lina_portrait_zit.safetensors"]}
    async with (
        SandboxComfyUI(models=required_models()) as well,
        SandboxComfyUI(models=poor_models) as poor,
        SandboxComfyUI(models=required_models()) as down,
    ):
        await down.kill()
        settings = doctor.host_settings(well.address, poor.address, down.address)
        check = doctor.hosts_check(settings, timeout_s=TIMEOUT_S)
        of_down, _, *of_personas = await doctor.troubles(check)

    assert of_down.level is Level.YELLOW
    assert down.address in of_down.sentence
    assert "refuse" in of_down.sentence
    of_una = next(each for each in of_personas if " una:" in each.sentence)
    assert len(of_personas) == 7
    assert of_una.level is Level.YELLOW
    assert (
        f"on {poor.address} LoraLoaderModelOnly has no lora_name 'una_zit_final" in of_una.sentence
    )


async def test_15_a_persona_folder_that_does_not_load(tmp_path: Path) -> None:
    (tmp_path / "lina").mkdir()
    (tmp_path / "lina" / "persona.toml").write_text("nothing = [")

    finding = await doctor.trouble(partial(personas.check, doctor.library_of(tmp_path)))

    assert finding.level is Level.RED
    assert "lina cannot be drawn: lina/persona.toml" in finding.sentence
    assert str(tmp_path / "lina" / "persona.toml") in (finding.advice or "")


@pytest.mark.parametrize("shares", [False, True])
async def test_16_two_workers_on_the_same_hosts(
    products: ProductFactory, database_url: str, redis_url: str, *, shares: bool
) -> None:
    check = partial(workers.check, _redis_settings(redis_url))
    async with (
        products.start(works=False, workers_share_hosts=shares) as product,
        product.worker(),
        product.worker(),
    ):
        async with asyncio.timeout(PATIENCE_S), _open_redis(redis_url) as client:
            while len(await worker_status.read_workers(client)) < 2:
                pass
            told_by_probe = await workers_check(client)()
        findings = await doctor.found(check)
        known = await doctor.known_hosts(
            doctor.host_settings("gpu-1"), database_url, redis_url, None, TIMEOUT_S
        )()

    unshared = [each for each in findings if each.level > Level.GREEN]
    assert len(findings) - len(unshared) == 2
    if shares:
        assert unshared == []
        assert told_by_probe is None
    else:
        (finding,) = unshared
        assert finding.level is Level.YELLOW
        assert "use the same hosts" in finding.sentence
        assert "WORKERS_SHARE_HOSTS=true" in (finding.advice or "")
        assert str(told_by_probe).startswith(finding.sentence)
        inspection = Inspection(
            rows=(),
            unshared=worker_status.why_unshared(known.workers),
            redis_outage=None,
            persona_faults={},
        )
        assert host_table.warnings(inspection) == [f"{finding.sentence}: see `imagegen doctor`"]
