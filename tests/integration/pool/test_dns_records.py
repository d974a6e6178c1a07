"""The records of a DNS name, read from a real server on loopback."""

from pathlib import Path

import pytest

from imagegen.pool.dns_records import DnsResolver, NameNotResolved
from tests.support.dns_server import dns_server

NAME = "comfyui.svc"


async def test_both_families_are_read() -> None:
    async with dns_server(comfyui_svc=["10.0.0.1", "10.0.0.2", "fd00::7"]) as server:
        resolver = server.resolver()

        assert await resolver.records(NAME, "A") == {"10.0.0.1", "10.0.0.2"}
        assert await resolver.records(NAME, "AAAA") == {"fd00::7"}


async def test_a_name_without_records_and_one_that_does_not_exist_have_none() -> None:
    async with dns_server(comfyui_svc=[]) as server:
        resolver = server.resolver()

        assert await resolver.records(NAME, "A") == frozenset()
        assert await resolver.records("comfyui.gone", "A") == frozenset()


async def test_two_hundred_records_are_read_over_tcp() -> None:
    ips = [f"10.0.0.{number}" for number in range(200)]
    async with dns_server(comfyui_svc=ips) as server:
        records = await server.resolver().records(NAME, "A")

    assert records == set(ips)
    assert server.over_tcp == 1


async def test_a_server_that_fails_is_no_answer() -> None:
    async with dns_server(comfyui_svc=["10.0.0.1"]) as server:
        server.fails = True

        with pytest.raises(NameNotResolved, match=NAME):
            await server.resolver().records(NAME, "A")


async def test_a_server_that_is_away_is_no_answer() -> None:
    async with dns_server() as server:
        resolver = server.resolver()

    with pytest.raises(NameNotResolved, match=NAME):
        await resolver.records(NAME, "A")


@pytest.mark.parametrize("lines", [None, "search svc", "nameserver nowhere"])
async def test_a_file_that_names_no_server_is_no_answer(tmp_path: Path, lines: str | None) -> None:
    file = tmp_path / "resolv.conf"
    if lines is not None:
        file.write_text(lines)

    with pytest.raises(NameNotResolved, match=NAME):
        await DnsResolver(resolv_conf=str(file)).records(NAME, "A")
