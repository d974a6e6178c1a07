"""`imagegen settings`: what is in force and where it comes from, without secrets."""

import json
import os
import sys
from pathlib import Path

from tests.support import command, fork_server

SECRETS = {
    "TELEGRAM_BOT_TOKEN": "123:hush-hush",
    "DATABASE_URL": "postgresql://me:hush@db:5432/name",
}


async def test_each_setting_that_is_set_is_shown_with_its_source_and_no_secret() -> None:
    result = await command.run("settings", COMFYUI_HOSTS="gpu-1", **SECRETS)

    rows = [line.split() for line in result.stdout.split("\n\n")[0].splitlines()]
    assert ["COMFYUI_HOSTS", "gpu-1", "environment"] in rows
    assert "hush" not in result.stdout + result.stderr
    assert not any(row[-1] == "default" for row in rows)
    assert result.code == 0


async def test_with_all_the_defaults_are_shown_too() -> None:
    result = await command.run("settings", "--all", COMFYUI_HOSTS="gpu-1", **SECRETS)

    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["COMFYUI_SLOTS_PER_HOST", "2", "default"] in rows


async def test_a_wrong_and_a_misspelt_one_are_named() -> None:
    result = await command.run(
        "settings", COMFYUI_HOSTS="a:1,a:1", TELEGRAM_BOT_TOKE="123:hush", **SECRETS
    )

    assert result.code == 1
    assert "COMFYUI_HOSTS: got 'a:1,a:1'" in result.stdout


def test_a_file_is_told_apart_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("COMFYUI_HOSTS=gpu-7\nMAX_RATING=safe\n")

    ended = fork_server.shared().run(
        [str(Path(sys.executable).with_name("imagegen")), "settings", "--json"],
        env={"PATH": os.environ["PATH"], "MAX_RATING": "suggestive", **SECRETS},
        cwd=tmp_path,
        timeout=60,
    )

    report = json.loads(ended.stdout)
    by_name = {each["name"]: each for each in report["settings"]}
    assert report["env_file"] == str(tmp_path / ".env")
    assert by_name["COMFYUI_HOSTS"]["source"] == ".env"
    assert by_name["MAX_RATING"]["source"] == "environment"
    assert by_name["MAX_RATING"]["is_shadowing"] is True
