"""Addresses of images that the worker serves itself."""

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest

from imagegen.storage.image_links import ImageLinks

REQUEST = uuid4()
LINKS = ImageLinks(
    base="https://pictures.example/worker/", secret="1:secret", valid_s=60.0, clock=lambda: 1000.0
)


def is_valid(links: ImageLinks, request_id: UUID, url: str, **changes: str) -> bool:
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    return links.is_valid(request_id, **(query | changes))


def test_an_address_is_that_of_the_request_and_names_no_secret() -> None:
    url = LINKS.url(REQUEST)

    assert url.startswith(f"https://pictures.example/worker/images/{REQUEST}?expires=1060&")
    assert "secret" not in url + repr(LINKS)


@pytest.mark.parametrize(("now", "holds"), [(1000.0, True), (1059.9, True), (1060.0, False)])
def test_an_address_is_valid_for_a_limited_time(now: float, holds: bool) -> None:  # noqa: FBT001 (a case)
    assert is_valid(replace(LINKS, clock=lambda: now), REQUEST, LINKS.url(REQUEST)) == holds


def test_another_worker_with_the_same_token_takes_it_and_no_other() -> None:
    url = LINKS.url(REQUEST)

    assert is_valid(replace(LINKS, base="http://other"), REQUEST, url)
    assert not is_valid(replace(LINKS, secret="1:other"), REQUEST, url)


@pytest.mark.parametrize(
    "changes",
    [
        {"expires": "9999"},
        {"expires": ""},
        {"expires": "²"},
        {"expires": "9" * 5000},  # more digits than Python reads as a number
        {"expires": "\udcff"},
        {"signature": ""},
        {"signature": "é"},
    ],
)
def test_an_address_that_was_changed_is_not_valid(changes: dict[str, str]) -> None:
    assert not is_valid(LINKS, REQUEST, LINKS.url(REQUEST), **changes)
    assert not is_valid(LINKS, uuid4(), LINKS.url(REQUEST))
