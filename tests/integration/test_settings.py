"""Settings: what a wrong one says, and what all may be written."""

import uuid
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis
from sqlalchemy import make_url, text

from chatflow_hook import ChatFlowHook
from chatflow_hook.settings import BadSetting, HookSettings, read
from imagegen.db.engine import connect
from imagegen.queue import connections
from imagegen.sandbox.servers.valkey import ValkeyServer
from imagegen.settings import Settings, from_env

GOOD = {
    "DATABASE_URL": "postgresql://bot:pass@localhost/chatflow",
    "TELEGRAM_BOT_TOKEN": "123:abc",
    "COMFYUI_HOSTS": "gpu-1:8188,https://gpu-2.example/comfy",
}


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave only the good variables, and no `.env`."""
    for name in (*HookSettings.model_fields, *Settings.model_fields, "bot_token"):
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


def test_the_names_of_the_old_service_mean_what_they_meant() -> None:
    settings = from_env()

    assert [host.name for host in settings.comfyui_hosts] == [
        "gpu-1:8188",
        "gpu-2.example:443/comfy",
    ]
    assert (settings.redis_broker_db, settings.redis_result_db) == (3, 4)
    assert (settings.image_trigger_min, settings.image_trigger_max) == (3, 5)
    assert settings.generation_timeout == 120
    assert settings.slots == 4


def test_variables_that_only_a_newer_version_knows_are_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("IMAGE_OF_NEXT_YEAR", "COMFYUI_OF_NEXT_YEAR", "REDIS_OF_NEXT_YEAR"):
        monkeypatch.setenv(name, "1")
    (tmp_path / ".env").write_text("TELEGRAM_OF_NEXT_YEAR=1\nSTOP_GRACE=7\n")

    assert from_env().stop_grace == 7
    assert read(HookSettings).database_url.get_secret_value() == GOOD["DATABASE_URL"]


@pytest.mark.parametrize("empty", [False, True])
def test_the_bots_token_has_its_old_name_too(monkeypatch: pytest.MonkeyPatch, empty: bool) -> None:  # noqa: FBT001 (parametrized)
    if empty:
        monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "")
    else:
        monkeypatch.delenv("TELEGRAM_BOT_TOKEN")
    monkeypatch.setenv("BOT_TOKEN", "456:old")

    assert from_env().telegram_bot_token.get_secret_value() == "456:old"


def test_the_new_name_of_the_token_has_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOT_TOKEN", "456:old")

    assert from_env().telegram_bot_token.get_secret_value() == "123:abc"


def test_a_wrong_token_is_told_by_the_name_that_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TELEGRAM_BOT_TOKEN")
    with pytest.raises(
        BadSetting, match=r"^TELEGRAM_BOT_TOKEN is not set, must be the bot's token"
    ):
        from_env()

    monkeypatch.setenv("BOT_TOKEN", "hush")
    with pytest.raises(BadSetting, match=r"^(TELEGRAM_)?BOT_TOKEN: got something else") as caught:
        from_env()
    assert "hush" not in str(caught.value)


def test_a_price_is_that_of_a_host_or_of_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST_PRICE_PER_HOUR", "0.8, gpu-2=1.2 ,https://gpu-3.example/comfy=2")

    prices = from_env().host_price_per_hour

    assert prices.per_hour("gpu-1:8188") == 0.8
    assert prices.per_hour("gpu-2:8188") == 1.2
    assert prices.per_hour("gpu-3.example:443/comfy") == 2


def test_the_cap_over_all_hosts_is_at_most_their_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_CONCURRENT_GENERATIONS", "3")
    assert from_env().slots == 3

    monkeypatch.setenv("MAX_CONCURRENT_GENERATIONS", "99")
    assert from_env().slots == 4


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DATABASE_URL", None, "DATABASE_URL is not set, must be postgresql://"),
        ("DATABASE_URL", "mysql://u:hush@h/db", "DATABASE_URL: got "),
        (
            "DATABASE_URL",
            "postgresql://u:hush@h/db?sslrootcert=/not/there.pem",
            "DATABASE_URL: got an address whose sslrootcert names a file that cannot be read",
        ),
        ("TELEGRAM_BOT_TOKEN", None, "TELEGRAM_BOT_TOKEN is not set"),
        ("TELEGRAM_BOT_TOKEN", "hush", "TELEGRAM_BOT_TOKEN: got something else, must be"),
        ("COMFYUI_HOSTS", None, "COMFYUI_HOSTS is not set, must be host:port"),
        ("COMFYUI_HOSTS", "a b", "COMFYUI_HOSTS: got 'a b', must be host:port"),
        ("COMFYUI_HOSTS", "a:1,a:1", "COMFYUI_HOSTS: got 'a:1,a:1'"),
        ("COMFYUI_HOSTS", ",", "COMFYUI_HOSTS: got ','"),
        ("HOST_PRICE_PER_HOUR", "dear", "HOST_PRICE_PER_HOUR: got 'dear', must be a price such as"),
        ("HOST_PRICE_PER_HOUR", "gpu-1=-1", "HOST_PRICE_PER_HOUR: got 'gpu-1=-1'"),
        ("HOST_PRICE_PER_HOUR", "gpu-1=inf", "HOST_PRICE_PER_HOUR: got 'gpu-1=inf'"),
        (
            "COST_LIMIT_PER_DAY",
            "25",
            "COST_LIMIT_PER_DAY is set, so HOST_PRICE_PER_HOUR must be set",
        ),
        ("COMFYUI_SLOTS_PER_HOST", "zero", "COMFYUI_SLOTS_PER_HOST: got 'zero', must be a whole"),
        ("COMFYUI_SLOTS_PER_HOST", "0", "COMFYUI_SLOTS_PER_HOST: got '0'"),
        ("COMFYUI_HEADERS", '{"X": hush', "COMFYUI_HEADERS: got something else, must be JSON"),
        ("GENERATION_TIMEOUT", "-1", "GENERATION_TIMEOUT: got '-1', must be a number of seconds"),
        ("IMAGE_TRIGGER_MAX", "2", "IMAGE_TRIGGER_MAX: got 2, must be at least IMAGE_TRIGGER_MIN"),
        ("REDIS_URL", "redis://:hu#sh@h:1", "REDIS_URL: got an address with a bare #"),
        ("REDIS_URL", "http://hush", "REDIS_URL: got an address that does not begin with redis://"),
        ("REDIS_PORT", "70000", "REDIS_PORT: got '70000', must be a port"),
        ("IMAGE_STORE", "/plain/path", "IMAGE_STORE: got '/plain/path', must be file:///"),
        ("LOG_FORMAT", "xml", "LOG_FORMAT: got 'xml', must be json or console"),
        (
            "IMAGE_SCREEN",
            "nowhere.screen:SCREEN",
            "IMAGE_SCREEN: got 'nowhere.screen:SCREEN' (No module named 'nowhere'), must be a Python",
        ),
    ],
)
def test_a_bad_value_names_the_variable_what_it_got_and_what_it_may_be(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str | None, said: str
) -> None:
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)

    with pytest.raises(BadSetting) as caught:
        from_env()

    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)
    assert "hu#sh" not in str(caught.value)


def test_several_bad_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("REDIS_PORT", "x")

    with pytest.raises(BadSetting, match=r"REDIS_PORT.*; DATABASE_URL"):
        from_env()


def test_secrets_show_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:hush@h:1")
    monkeypatch.setenv("COMFYUI_TOKEN", "hush")
    monkeypatch.setenv("COMFYUI_HEADERS", '{"X-Key": "hush"}')
    settings = from_env()

    assert "hush" not in repr(settings)
    assert "hush" not in repr(settings.redis)
    assert settings.host_headers == {"X-Key": "hush", "Authorization": "Bearer hush"}


def test_two_ways_to_sign_are_one_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYUI_TOKEN", "a")
    monkeypatch.setenv("COMFYUI_HEADERS", '{"authorization": "b"}')

    with pytest.raises(BadSetting, match="COMFYUI_TOKEN and COMFYUI_HEADERS"):
        from_env()


def test_an_env_file_is_read_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("REDIS_HOST=from-file\nREDIS_PORT=7000\nOF_THE_BOT=1\n")
    monkeypatch.setenv("REDIS_PORT", "7001")

    settings = read(HookSettings)

    assert (settings.redis_host, settings.redis_port) == ("from-file", 7001)


async def test_the_hook_needs_no_variable_of_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMFYUI_HOSTS")
    monkeypatch.delenv("TELEGRAM_BOT_TOKEN")

    async with ChatFlowHook.from_env() as hook:
        assert hook is not None


@pytest.mark.parametrize("password", ["plain", "!#", "a b%41", "@:/?", "пароль", "+&="])
async def test_any_redis_password_works_in_parts_and_in_a_url(
    monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    with ValkeyServer(password=password) as valkey:
        by_url = Settings(_env_file=None, redis_url=f"{valkey.url}/1")
        monkeypatch.setenv("REDIS_HOST", "127.0.0.1")
        monkeypatch.setenv("REDIS_PORT", str(valkey.port))
        monkeypatch.setenv("REDIS_PASSWORD", password)
        for settings in (by_url, from_env()):
            async with connections.result_connection(settings.redis, db=4) as redis:
                assert await redis.ping()
                assert await connections.outage(settings) is None
            plain = connections.arq_settings(settings.redis, db=3)
            assert isinstance(plain.host, str), "arq takes a list of sentinels too"
            async with Redis(
                host=plain.host, port=plain.port, password=plain.password, db=3
            ) as arq:
                assert await arq.ping()


async def test_a_password_that_redis_refuses_names_the_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ValkeyServer(password="right") as valkey:
        for url in (f"redis://127.0.0.1:{valkey.port}", f"redis://:wrong@127.0.0.1:{valkey.port}"):
            monkeypatch.setenv("REDIS_URL", url)

            with pytest.raises(BadSetting, match="REDIS_PASSWORD"):
                await connections.outage(from_env())


# Every sign that means something in an address, a shell or a .env file.
ANY_SIGNS = "p@ss:w/o%20?a=b&c+d#e 'f' \"g\" $HOME ${PATH} \\h ;`i` [j] ф"


def test_an_address_without_a_password_takes_pgpassword(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://bot@localhost/chatflow?connect_timeout=5")
    monkeypatch.setenv("PGPASSWORD", ANY_SIGNS)

    address = read(HookSettings).database

    assert address.url.password == ANY_SIGNS
    assert (address.url.username, address.url.database) == ("bot", "chatflow")
    assert ANY_SIGNS not in f"{read(HookSettings)!r} {address!r} {address.place}"


def test_a_password_in_the_address_has_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "another")

    assert from_env().database.url.password == "pass"


def test_a_password_in_single_quotes_is_read_from_the_file_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    # What is read from a file has ${NAME} replaced, in single quotes too.
    password = ANY_SIGNS.replace("${PATH}", "$PATH")
    quoted = password.replace("'", r"\'")
    (tmp_path / ".env").write_text(
        f"DATABASE_URL=postgresql://bot@localhost/chatflow\nPGPASSWORD='{quoted}'\n", "utf-8"
    )

    assert from_env().database.url.password == password


async def test_postgresql_takes_a_password_of_any_signs(
    monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    role = f"role_{uuid.uuid4().hex[:8]}"
    url = make_url(database_url)
    owner = await asyncpg.connect(database_url)
    await owner.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD '{ANY_SIGNS.replace(chr(39), chr(39) * 2)}'"
    )
    monkeypatch.setenv("DATABASE_URL", f"postgresql://{role}@{url.host}:{url.port}/{url.database}")
    monkeypatch.setenv("PGPASSWORD", ANY_SIGNS)

    engine = connect(from_env().database_url)
    try:
        async with engine.connect() as connection:
            user = await connection.scalar(text("SELECT current_user"))
    finally:
        await engine.dispose()
        await owner.execute(f"DROP ROLE {role}")
        await owner.close()

    assert user == role
