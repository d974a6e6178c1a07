"""Dockerfile and compose.yaml speak of what is there."""

import re
from pathlib import Path

from imagegen.settings import Settings

ROOT = Path(__file__).parents[3]
READ = {name.upper() for name in Settings.model_fields}


def test_compose_gives_the_worker_variables_that_it_reads() -> None:
    worker, _, _ = (ROOT / "compose.yaml").read_text().partition("\nservices:")

    given = set(re.findall(r"^ +([A-Z_]+):", worker, re.MULTILINE))

    assert given
    assert given <= READ


def test_compose_asks_for_variables_that_are_known_or_have_a_default() -> None:
    compose = (ROOT / "compose.yaml").read_text()

    bare = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)(?!:-)[}:]", compose))

    assert bare <= READ


def test_the_images_are_stored_where_the_volume_is() -> None:
    store = Settings.model_fields["image_store"].default.removeprefix("file://")

    assert f"\nVOLUME {store}\n" in (ROOT / "Dockerfile").read_text()
    assert f"images:{store}" in (ROOT / "compose.yaml").read_text()


def test_what_goes_into_the_image_is_there() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()

    missing = [line for line in lines if line.startswith("!") and not (ROOT / line[1:]).exists()]

    assert missing == []


def test_the_lock_names_no_address() -> None:
    lock = (ROOT / "requirements.lock").read_text()

    assert "://" not in lock
    assert not re.search(r"^-", lock, re.MULTILINE)


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
    assert "\nENV WEB_HOST=0.0.0.0\n" in dockerfile
