"""What the doctor says of one subject at a time, asked of real servers that are in trouble."""

import asyncio
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from sqlalchemy import text

from chatflow_hook.settings import RedisSettings
from imagegen import resources
from imagegen.doctor import (
    image_store,
    language_model,
    personas,
    postgresql,
    redis,
    telegram,
)
from imagegen.doctor.finding import Check, DoctorFinding, Level
from imagegen.sandbox.comfyui import SandboxComfyUI
from imagegen.sandbox.comfyui.state import HostFlags
from imagegen.sandbox.servers.valkey import ValkeyServer
from imagegen.sandbox.telegram import SandboxTelegram
from imagegen.sandbox.telegram.faults import Trouble
from imagegen.settings import PictureSettings, StoreSettings, TelegramSettings
from tests.support import broken_databases, doctor, documented_rights, tls
from tests.support.conversations import Sessions
from tests.support.language_model import Answer, ChatServer, says, silence
from tests.support.llm_answers import SCENE
from tests.support.misbehaving_comfyui import Answer as AnswerOfHost
from tests.support.misbehaving_comfyui import answer_json, misbehaving
from tests.support.patience import PATIENCE_S
from tests.support.pgbouncer import PROGRAM, PgBouncer
from tests.support.product import required_models

SHORT_S = 0.5
QUIET = HostFlags(disable_metadata=True)


def _redis(url: str, *, result_db: int = 4) -> Check:
    settings = RedisSettings(_env_file=None, redis_url=url, redis_result_db=result_db)
    return partial(redis.check, settings)


def _database(url: str) -> Check:
    return partial(postgresql.check, SecretStr(url), timeout_s=doctor.TIMEOUT_S)


def _hosts(*addresses: str, timeout_s: float = doctor.TIMEOUT_S) -> Check:
    return doctor.hosts_check(doctor.host_settings(*addresses), timeout_s=timeout_s)


def _of(findings: list[DoctorFinding], part: str) -> DoctorFinding:
    return next(each for each in findings if part in each.sentence)


async def test_a_database_that_lacks_nothing_is_green(database_url: str) -> None:
    (finding,) = await doctor.found(_database(database_url))

    assert finding.level is Level.GREEN
    assert "lets the role imagegen work, takes writes and is migrated" in finding.sentence


async def test_a_certificate_that_is_not_trusted_is_told_with_what_to_do_about_it(
    tmp_path: Path,
) -> None:
    certificate = tls.make_certificate(tmp_path, valid_s=-60)
    async with SandboxComfyUI() as host:
        port = int(host.address.rpartition(":")[2])
        async with tls.terminated(port, certificate) as secure:
            settings = doctor.host_settings(f"https://127.0.0.1:{secure}")
            host_finding = (await doctor.troubles(doctor.hosts_check(settings)))[0]
            chat = TelegramSettings(
                _env_file=None,
                telegram_bot_token="1:hush",
                telegram_api_url=f"https://127.0.0.1:{secure}",
            )
            chat_finding = await doctor.trouble(
                partial(telegram.check, chat, send_to=None, timeout_s=doctor.TIMEOUT_S)
            )

    for finding in (host_finding, chat_finding):
        assert "has a certificate that is not trusted" in finding.sentence
        assert str(finding.advice).startswith("give that server a valid certificate")


async def test_a_database_that_speaks_no_tls_is_not_to_be_started(database_url: str) -> None:
    finding = await doctor.trouble(_database(f"{database_url}?sslmode=require"))

    assert "does not speak TLS" in finding.sentence
    assert str(finding.advice).startswith("let both sides use TLS, or neither")


async def test_few_connections_left_for_the_role_are_told(database_url: str) -> None:
    grants = documented_rights.grants("worker")
    async with broken_databases.weak_role(database_url, *grants, limit=5) as url:
        finding = await doctor.trouble(_database(url))

    assert finding.level is Level.YELLOW
    assert "4 of 5 connections are left" in finding.sentence


async def test_connections_of_other_roles_are_not_left_for_this_one(
    database_url: str, sessions: Sessions
) -> None:
    grants = documented_rights.grants("worker")
    async with broken_databases.weak_role(database_url, *grants) as url, AsyncExitStack() as stack:
        before = await left(url)
        for _ in range(5):
            session = await stack.enter_async_context(sessions())
            await session.execute(text("SELECT 1"))
        after = await left(url)

    # The server takes a moment to end the two that each look of the doctor has opened.
    assert before - after >= 3


async def left(url: str) -> int:
    """Return how many connections are left for a role."""
    (finding,) = await doctor.found(_database(url))
    found = re.search(r"(\d+) connections are left", finding.sentence)
    assert found is not None
    return int(found[1])


@pytest.mark.skipif(PROGRAM is None, reason="there is no PgBouncer")
@pytest.mark.parametrize(
    ("pool_mode", "option", "is_well"),
    [("transaction", "", False), ("transaction", "?pgbouncer=true", True), ("session", "", True)],
)
async def test_a_pooler_that_mixes_up_statements_is_told(
    database_url: str, pool_mode: str, option: str, *, is_well: bool
) -> None:
    with PgBouncer(database_url, pool_mode=pool_mode) as pooler:
        finding, *others = await doctor.found(_database(pooler.url + option))

    assert not others
    if is_well:
        assert finding.level is Level.GREEN
        assert "through a pooler" in finding.sentence
    else:
        assert finding.level is Level.RED
        assert "pgbouncer=true" in (finding.advice or "")


async def test_what_an_acl_forbids_is_told_with_the_rights_that_are_missing() -> None:
    with ValkeyServer() as valkey:
        async with Redis.from_url(valkey.url) as admin:
            await admin.execute_command(
                *[
                    "ACL",
                    "SETUSER",
                    "bot",
                    "on",
                    ">hush",
                    "resetkeys",
                    "~arq:*",
                    "-@all",
                    "+@read",
                    "+@write",
                    "+@connection",
                ],
                *["+@transaction", "+@pubsub", "+info", "+time"],
            )
            url = f"redis://bot:hush@127.0.0.1:{valkey.port}"
            told = await doctor.troubles(_redis(url))
            for finding in told[:1]:
                await admin.execute_command(*(finding.advice or "").split())
            after = await doctor.troubles(_redis(url))

    assert {each.level for each in told} == {Level.RED}
    assert _of(told, "use EVAL")
    assert _of(told, "use a key of ours")
    assert _of(told, "use a channel of ours")
    assert after == [], "the advice is what was missing"


async def test_keys_that_may_be_evicted_and_foreign_ones_are_told() -> None:
    with ValkeyServer() as valkey:
        async with Redis.from_url(valkey.url, db=3) as admin:
            await admin.set("user:4711:features", "")
            await admin.config_set("maxmemory", "1gb")
            await admin.config_set("maxmemory-policy", "allkeys-lru")
        told = await doctor.troubles(_redis(valkey.url))

    assert {each.level for each in told} == {Level.YELLOW}
    assert "noeviction" in (_of(told, "maxmemory-policy is allkeys-lru").advice or "")
    foreign = _of(told, "another program has 1 keys in database 3")
    assert "4711" not in repr(foreign)


async def test_a_database_number_that_is_not_there_is_told(redis_url: str) -> None:
    finding = await doctor.trouble(_redis(redis_url, result_db=999))

    assert "has no database of that number" in finding.sentence
    assert "REDIS_RESULT_DB" in (finding.advice or "")


async def test_the_doctor_leaves_no_key(redis_url: str) -> None:
    await doctor.found(_redis(redis_url))

    for db in (3, 4):
        async with asyncio.timeout(PATIENCE_S), Redis.from_url(redis_url, db=db) as client:
            while [key async for key in client.scan_iter()]:
                pass  # a key of a millisecond


async def test_hosts_that_can_draw_everything_are_green_and_get_no_prompt() -> None:
    async with SandboxComfyUI(models=required_models(), flags=QUIET) as host:
        findings = await doctor.found(_hosts(host.address))

    assert [each.level for each in findings] == [Level.GREEN, Level.GREEN]
    assert "24.0 of 24.0 GiB free, 0 prompts in its queue" in findings[0].sentence
    assert "can draw all 8 personas" in findings[1].sentence
    assert host.posted == []


async def test_hosts_that_write_prompts_into_their_files_are_told() -> None:
    models = required_models()
    async with (
        SandboxComfyUI(models=models) as one,
        SandboxComfyUI(models=models, flags=QUIET) as quiet,
        SandboxComfyUI(models=models) as two,
    ):
        finding = await doctor.trouble(_hosts(one.address, quiet.address, two.address))

    assert finding.level is Level.YELLOW
    assert finding.sentence.startswith(f"{one.address}, {two.address}: the prompt is written")
    assert "--disable-metadata" in (finding.advice or "")


async def test_the_only_host_that_is_down_is_red() -> None:
    finding = await doctor.trouble(_hosts("127.0.0.1:1"))

    assert finding.level is Level.RED
    assert "refuses the connection" in finding.sentence


async def test_a_persona_that_no_host_can_draw_is_red() -> None:
    models = {**required_models(), "vae": []}
    async with SandboxComfyUI(models=models, flags=QUIET) as host:
        finding = await doctor.trouble(_hosts(host.address))

    assert finding.level is Level.RED
    assert "no host can draw ash, julie, lina" in finding.sentence
    assert "VAELoader has no vae_name 'ae.safetensors'" in finding.sentence


def _answers(*, version: str) -> Mapping[str, AnswerOfHost]:
    """Return the answers of a host that has one node class and little memory free."""
    stats = {
        "system": {"comfyui_version": version, "ram_total": 2**36, "ram_free": 2**30},
        "devices": [{"name": "gpu", "vram_total": 2**34, "vram_free": 2**33}],
    }
    return {
        "GET /system_stats": answer_json(stats),
        "GET /prompt": answer_json({"exec_info": {"queue_remaining": 2}}),
        "GET /object_info": answer_json({"KSampler": {"input": {}}}),
    }


async def test_a_websocket_that_delivers_nothing_is_told() -> None:
    async with misbehaving(answers=_answers(version="0.33.0"), greets=False) as host:
        (finding, *_) = await doctor.troubles(_hosts(host.address, timeout_s=SHORT_S))

    assert finding.level is Level.RED
    assert "websocket" in finding.sentence
    assert "Upgrade" in (finding.advice or "")


@pytest.mark.parametrize(
    ("status", "advice"), [(401, "COMFYUI_TOKEN"), (404, "COMFYUI_HOSTS"), (200, "COMFYUI_HOSTS")]
)
async def test_what_stands_before_a_host_or_in_its_place_is_told(status: int, advice: str) -> None:
    answers = {"GET /system_stats": answer_json({}, status)}
    async with misbehaving(answers=answers) as host:
        finding = await doctor.trouble(_hosts(host.address))

    assert finding.level is Level.RED
    assert advice in (finding.advice or "")


async def test_prompts_of_others_an_old_version_and_full_memory_are_told() -> None:
    ours, foreign = ([0, "a", {}, {"client_id": "a"}, []], [1, "b", {}, {"client_id": "c"}, []])
    async with SandboxComfyUI(models=required_models()) as other:
        answers = {
            **_answers(version="0.3.10"),
            "GET /queue": answer_json({"queue_running": [ours], "queue_pending": [foreign]}),
        }
        async with misbehaving(answers=answers) as host:
            findings = list(await doctor.found(_hosts(host.address, other.address)))

    assert _of(findings, "ComfyUI 0.3.10").level is Level.YELLOW
    assert _of(findings, "1.0 of 64 GiB of memory free").level is Level.YELLOW
    assert _of(findings, "2 prompts in its queue, 1 of them from others").level is Level.GREEN


async def test_a_persona_without_the_trigger_words_of_its_lora_is_told(tmp_path: Path) -> None:
    shipped = resources.path("workflows") / "lina" / "persona.toml"
    (tmp_path / "lina").mkdir()
    lines = shipped.read_text().splitlines()
    kept = [line for line in lines if not line.startswith("trigger_words")]
    (tmp_path / "lina" / "persona.toml").write_text("\n".join(kept))

    finding = await doctor.trouble(partial(personas.check, doctor.library_of(tmp_path)))

    assert finding.level is Level.YELLOW
    assert "lina draws with a LoRA and has no trigger words" in finding.sentence


def _telegram(bot_api: SandboxTelegram, *, send_to: int | None = None) -> Check:
    settings = TelegramSettings(
        _env_file=None, telegram_bot_token=bot_api.token, telegram_api_url=bot_api.url
    )
    return partial(telegram.check, settings, send_to=send_to, timeout_s=SHORT_S)


async def test_the_bot_is_named_and_nothing_is_sent() -> None:
    async with SandboxTelegram() as bot_api:
        (finding,) = await doctor.found(_telegram(bot_api))

    assert finding.level is Level.GREEN
    assert "@sandboxbot" in finding.sentence
    assert [call.method for call in bot_api.calls] == ["getMe"]


async def test_a_test_message_is_sent_where_one_is_wanted() -> None:
    async with SandboxTelegram() as bot_api:
        findings = await doctor.found(_telegram(bot_api, send_to=7))

    assert [each.level for each in findings] == [Level.GREEN, Level.GREEN]
    assert [(sent.chat_id, sent.text) for sent in bot_api.sent] == [
        (7, "A test message of imagegen doctor.")
    ]


@pytest.mark.parametrize(
    ("trouble", "method", "level", "sentence"),
    [
        (Trouble.flood(7), "getMe", Level.YELLOW, "wants a pause of 7 s"),
        (Trouble.drop(), "getMe", Level.RED, "breaks the connection"),
        (Trouble.blocked_on_the_way(), "getMe", Level.RED, "something before Telegram refuses"),
        (
            Trouble.refused(403, "Forbidden: bot was blocked by the user"),
            "sendMessage",
            Level.RED,
            "the chat takes no message",
        ),
    ],
)
async def test_what_telegram_refuses_is_told(
    trouble: Trouble, method: str, level: Level, sentence: str
) -> None:
    async with SandboxTelegram() as bot_api:
        bot_api.script(trouble, method=method)
        finding = await doctor.trouble(_telegram(bot_api, send_to=7))

    assert finding.level is level
    assert sentence in finding.sentence


def _model(url: str | None, timeout_s: float = doctor.TIMEOUT_S) -> Check:
    settings = PictureSettings(_env_file=None, prompt_llm_url=url, prompt_llm_api_key="hush")
    return partial(language_model.check, settings, doctor.library, timeout_s=timeout_s)


async def test_without_a_model_nothing_is_asked() -> None:
    (finding,) = await doctor.found(_model(None))

    assert finding.level is Level.GREEN


async def test_a_model_that_describes_a_scene_is_green() -> None:
    async with ChatServer(says(SCENE)).running() as server:
        (finding,) = await doctor.found(_model(server.url))

    assert finding.level is Level.GREEN
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "timeout_s", "sentence", "advice"),
    [
        (
            says("I would rather talk."),
            doctor.TIMEOUT_S,
            "no JSON object with the six phrases",
            "answers in JSON",
        ),
        (silence, 0.5, "describes no scene within 0.5 s", "PROMPT_LLM_TIMEOUT"),
    ],
)
async def test_a_model_that_is_of_no_use_is_yellow(
    answer: Answer, timeout_s: float, sentence: str, advice: str
) -> None:
    async with ChatServer(answer).running() as server:
        finding = await doctor.trouble(_model(server.url, timeout_s))

    assert finding.level is Level.YELLOW
    assert sentence in finding.sentence
    assert "the template writes the prompts meanwhile" in finding.sentence
    assert advice in (finding.advice or "")
    assert "hush" not in repr(finding)


def _store(directory: Path, least_free_bytes: int = 0) -> Check:
    settings = StoreSettings(_env_file=None, image_store=directory.as_uri())
    return partial(image_store.check, settings, least_free_bytes=least_free_bytes)


async def test_a_store_that_takes_bytes_is_green_and_empty(tmp_path: Path) -> None:
    (finding,) = await doctor.found(_store(tmp_path))

    assert finding.level is Level.GREEN
    assert list(tmp_path.iterdir()) == []


async def test_a_store_with_little_space_is_yellow(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).total + 1

    finding = await doctor.trouble(_store(tmp_path, free))

    assert finding.level is Level.YELLOW
    assert "GiB left" in finding.sentence


async def test_a_directory_that_is_not_there_yet_is_not_made(tmp_path: Path) -> None:
    finding = await doctor.trouble(_store(tmp_path / "deep" / "images"))

    assert finding.level is Level.YELLOW
    assert list(tmp_path.iterdir()) == []


async def test_a_file_in_the_place_of_the_directory_is_red(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    finding = await doctor.trouble(_store(tmp_path / "file" / "images"))

    assert finding.level is Level.RED


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a directory away")
async def test_a_store_of_another_account_is_yellow(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)

    finding = await doctor.trouble(_store(tmp_path))

    assert finding.level is Level.YELLOW
    assert "belongs to the account 12345" in finding.sentence
