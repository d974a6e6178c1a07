"""Dockerfile and compose.yaml speak of what is there, and their commands do what they should."""

import asyncio
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from dotenv import dotenv_values
from redis.asyncio import Redis

from imagegen.sandbox.servers.valkey import ValkeyServer
from imagegen.settings import Settings
from tests.support import container_files
from tests.support.ports import free_port

ROOT = container_files.ROOT
READ = {name.upper() for name in Settings.model_fields}
PRODUCT = ("migrate", "worker", "comfyui", "telegram", "bot")
GIVEN = {"PGPASSWORD": "p@ss:w/o%20 #$x 'q'", "REDIS_PASSWORD": 'r@d:i/s%20 #$y "q"'}


def test_compose_gives_the_worker_variables_that_it_reads() -> None:
    services = container_files.services(**GIVEN)

    given = {name for service in PRODUCT for name in services[service]["environment"]}

    assert given <= READ


def test_compose_asks_for_variables_that_are_known_or_have_a_default() -> None:
    compose = (ROOT / "compose.yaml").read_text()

    bare = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)(?!:-)[}:]", compose))

    assert bare <= READ


def test_the_example_has_what_compose_demands() -> None:
    variables = {k: v for k, v in dotenv_values(ROOT / ".env.example").items() if v}

    assert container_files.services(**variables)


def test_server_worker_and_bot_have_one_password() -> None:
    services = container_files.services(**GIVEN)
    example = dotenv_values(ROOT / ".env.example")

    passwords = {services[each]["environment"]["PGPASSWORD"] for each in ("worker", "migrate")}
    passwords.add(services["postgres"]["environment"]["POSTGRES_PASSWORD"])

    assert passwords == {GIVEN["PGPASSWORD"]}
    for url in (example["DATABASE_URL"], services["worker"]["environment"]["DATABASE_URL"]):
        assert (
            Settings.model_validate(
                {
                    "database_url": url,
                    "pgpassword": GIVEN["PGPASSWORD"],
                    "telegram_bot_token": "1:a",
                    "comfyui_hosts": "a",
                }
            ).database.url.password
            == (GIVEN["PGPASSWORD"])
        )


@pytest.mark.parametrize("missing", GIVEN)
def test_compose_does_not_begin_without_a_password(missing: str) -> None:
    with pytest.raises(KeyError, match=missing):
        container_files.services(**{k: v for k, v in GIVEN.items() if k != missing})


def test_personas_of_the_operator_are_mounted_where_the_worker_reads_them() -> None:
    mount = "/etc/chatflow-imagegen/personas"
    own = container_files.services(**GIVEN, PERSONAS_DIR="/srv/mine")["worker"]
    shipped = container_files.services(**GIVEN)["worker"]

    assert own["environment"]["PERSONAS_DIR"] == mount
    assert f"/srv/mine:{mount}:ro" in own["volumes"]
    assert shipped["environment"]["PERSONAS_DIR"] == ""


def test_every_service_is_limited_and_hardened() -> None:
    for name, service in container_files.services(**GIVEN).items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"], name
        assert service["logging"]["options"]["max-size"], name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        if name in PRODUCT:
            assert "cap_add" not in service, name


def test_the_worker_waits_for_the_migration() -> None:
    services = container_files.services(**GIVEN)

    waits = services["worker"]["depends_on"]["migrate"]["condition"]

    assert waits == "service_completed_successfully"
    assert services["migrate"]["restart"] == "no"


def test_what_compose_mounts_is_there() -> None:
    services = container_files.services(**GIVEN)

    mounted = [
        volume.partition(":")[0]
        for service in services.values()
        for volume in service.get("volumes", ())
    ]

    assert any(each.startswith("./") for each in mounted)
    assert all((ROOT / each).is_dir() for each in mounted if each.startswith("./"))


def test_the_demo_has_the_settings_of_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in READ:
        monkeypatch.delenv(name, raising=False)
    file = ROOT / "docs" / "deploy" / "demo.env"
    variables = {k: v for k, v in dotenv_values(file).items() if v}
    services = container_files.services(**variables)

    settings = Settings(_env_file=file, database_url="postgresql://u@h/d")

    token = settings.telegram_bot_token.get_secret_value()
    assert services["worker"]["env_file"] == "docs/deploy/demo.env"
    assert token in (ROOT / "imagegen" / "cli" / "sandbox.py").read_text()
    assert str(settings.telegram_api_url).rstrip("/") == "http://telegram:8081"
    assert [host.name for host in settings.comfyui_hosts] == ["comfyui:8188"]


@pytest.mark.parametrize("password", list(GIVEN.values()))
async def test_the_command_of_valkey_takes_a_password_of_any_signs(
    tmp_path: Path, password: str
) -> None:
    port = free_port()
    service = container_files.services(**{**GIVEN, "REDIS_PASSWORD": password})["valkey"]
    own = ValkeyServer()
    with own:
        program = Path(f"/proc/{own.pid}/exe").resolve()
    programs = tmp_path / "bin"
    programs.mkdir()
    # What the image's entrypoint does at last.
    (programs / "docker-entrypoint.sh").write_text(
        f'#!/bin/sh\nexec "$@" --port {port} --bind 127.0.0.1\n'
    )
    (programs / "docker-entrypoint.sh").chmod(0o755)
    (programs / "valkey-server").symlink_to(program)
    process = subprocess.Popen(
        service["command"],
        env={"PATH": f"{programs}:/usr/bin:/bin", **service["environment"]},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        next(line for line in process.stdout if "Ready to accept connections" in line)
        async with Redis(port=port, password=password, decode_responses=True) as redis:
            policy = await redis.config_get("maxmemory-policy")
    finally:
        process.kill()
        process.communicate()

    assert policy == {"maxmemory-policy": "noeviction"}


def test_packages_are_installed_before_the_sources_are_there() -> None:
    packages, wheel, image = container_files.stages()

    assert packages.texts("COPY") == ["pyproject.toml requirements.lock ./"]
    assert "uv pip install" in packages.texts("RUN")[-1]
    assert (wheel.base, wheel.texts("COPY")) == ("packages", [". ."])
    # So the large layer of the image depends on no source either.
    assert image.texts("COPY") == ["--from=packages /opt/venv /opt/venv"]


def test_the_labels_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (labels,) = container_files.stages()[-1].texts("LABEL")

    assert f'image.title="{project["name"]}"' in labels
    assert f'image.version="{project["version"]}"' in labels
    assert f'image.description="{project["description"]}"' in labels
    assert f'image.licenses="{project["license"]}"' in labels


def test_the_image_runs_under_a_number_that_is_not_root() -> None:
    (user,) = container_files.stages()[-1].texts("USER")

    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
async def test_the_health_check_asks_healthz_without_python(status: int, code: int) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status if request.path == "/healthz" else 404)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)

    async with TestServer(app) as server:
        assert await _health_check(server.port) == code


async def test_the_health_check_fails_where_nobody_answers() -> None:
    assert await _health_check(free_port()) == 1


async def _health_check(port: int | None) -> int:
    process = await asyncio.create_subprocess_exec(
        *container_files.health_check(),
        env={"PATH": "/nonexistent", "WEB_PORT": str(port)},
        executable="/bin/bash",
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await process.wait()


def test_the_images_are_stored_where_the_volume_is() -> None:
    store = Settings.model_fields["image_store"].default.removeprefix("file://")

    assert f"\nVOLUME {store}\n" in (ROOT / "Dockerfile").read_text()
    assert f"images:{store}" in (ROOT / "compose.yaml").read_text()


def test_what_goes_into_the_image_is_there() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()

    missing = [line for line in lines if line.startswith("!") and not (ROOT / line[1:]).exists()]

    assert missing == []


@pytest.mark.parametrize("lock", sorted(each.name for each in ROOT.glob("requirements*.lock")))
def test_a_lock_names_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()

    assert "://" not in text
    assert not re.search(r"^-", text, re.MULTILINE)


def test_a_container_waits_longer_for_the_end_than_the_worker_takes() -> None:
    most = Settings.model_fields["stop_grace"].default + 5.0

    waits = re.findall(r"stop_grace_period: (\d+)s", (ROOT / "compose.yaml").read_text())
    told = re.findall(r"--time (\d+)", (ROOT / "Dockerfile").read_text())

    assert [*waits, *told]
    assert all(int(wait) > most for wait in [*waits, *told])


def test_a_container_opens_the_port_of_the_probes_to_the_outside() -> None:
    port = Settings.model_fields["web_port"].default
    dockerfile = (ROOT / "Dockerfile").read_text()

    assert f"\nEXPOSE {port}\n" in dockerfile
    assert " WEB_HOST=0.0.0.0\n" in dockerfile
