"""Addresses of hosts as people write them."""

import pytest

from imagegen.comfy.address import HostAddress


@pytest.mark.parametrize(
    ("text", "base", "name"),
    [
        ("gpu-1", "http://gpu-1:8188", "gpu-1:8188"),
        ("gpu-1:8189", "http://gpu-1:8189", "gpu-1:8189"),
        ("  gpu-1:8189/ ", "http://gpu-1:8189", "gpu-1:8189"),
        ("10.0.0.7:8188", "http://10.0.0.7:8188", "10.0.0.7:8188"),
        ("[::1]:8188", "http://[::1]:8188", "[::1]:8188"),
        ("gpu-1/comfy", "http://gpu-1:8188/comfy", "gpu-1:8188/comfy"),
        ("http://gpu-1", "http://gpu-1", "gpu-1:80"),
        ("https://gpu.example", "https://gpu.example", "gpu.example:443"),
        ("https://gpu.example/a/b/", "https://gpu.example/a/b", "gpu.example:443/a/b"),
    ],
)
def test_an_address_is_read_as_people_write_it(text: str, base: str, name: str) -> None:
    address = HostAddress.parse(text)

    assert str(address.base) == base
    assert address.name == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://",
        "ftp://gpu-1",
        "gpu-1:port",
        "gpu-1:99999",
        "gpu 1:8188",
        "gpu-1;gpu-2",
        "gpu-1:8188?x=1",
        "gpu-1:8188#top",
        "/comfy",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        HostAddress.parse(text)


@pytest.mark.parametrize("text", ["http://me:hunter2@gpu-1", "http://me:hunter2@gpu-1?x=1"])
def test_a_password_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="password") as caught:
        HostAddress.parse(text)

    assert "hunter2" not in str(caught.value)


def test_routes_lie_under_the_prefix() -> None:
    address = HostAddress.parse("https://gpu.example/comfy")

    assert str(address.url("/history/7f3a")) == "https://gpu.example/comfy/history/7f3a"


def test_file_names_of_any_kind_survive_the_query() -> None:
    url = HostAddress.parse("gpu-1").url("/view", filename="ä b+c&d%20#.png", subfolder="")

    assert dict(url.query) == {"filename": "ä b+c&d%20#.png", "subfolder": ""}


@pytest.mark.parametrize(
    ("text", "socket"),
    [
        ("gpu-1", "ws://gpu-1:8188/ws?clientId=7f3a"),
        ("https://gpu.example/comfy", "wss://gpu.example/comfy/ws?clientId=7f3a"),
    ],
)
def test_the_websocket_is_as_secret_as_the_rest(text: str, socket: str) -> None:
    assert str(HostAddress.parse(text).websocket("7f3a")) == socket
