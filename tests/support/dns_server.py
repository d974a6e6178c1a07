"""A DNS server on loopback whose records a test changes; over UDP and TCP, on one port."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from imagegen.pool.dns_records import DnsResolver

_UDP_BYTES = 1232


@dataclass
class DnsServer:
    """Answers with `records`; a name without an entry does not exist.

    `fails`: it answers each question with SERVFAIL. `is_silent`: it does not answer at all.
    """

    records: dict[str, Sequence[str]] = field(default_factory=dict)
    fails: bool = False
    is_silent: bool = False
    port: int = 0
    questions: list[tuple[str, str]] = field(default_factory=list)
    over_tcp: int = 0

    def resolver(self) -> DnsResolver:
        return DnsResolver(["127.0.0.1"], port=self.port)

    def answer(self, packet: bytes, *, max_bytes: int | None) -> bytes | None:
        query = dns.message.from_wire(packet)
        response = dns.message.make_response(query)
        [question] = query.question
        name, family = question.name.to_text(omit_final_dot=True), question.rdtype
        self.questions.append((name, dns.rdatatype.to_text(family)))
        if self.is_silent:
            return None
        if self.fails:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif name not in self.records:
            response.set_rcode(dns.rcode.NXDOMAIN)
        else:
            ips = [ip for ip in self.records[name] if (":" in ip) == (family is dns.rdatatype.AAAA)]
            if ips:
                response.answer.append(dns.rrset.from_text(question.name, 5, "IN", family, *ips))
        packed = response.to_wire()
        if max_bytes is not None and len(packed) > max_bytes:
            response.answer.clear()
            response.flags |= dns.flags.TC
            packed = response.to_wire()
        return packed


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The selector's transport is no DatagramTransport by its class before Python 3.12.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if (answer := self._server.answer(data, max_bytes=_UDP_BYTES)) is not None:
            self._transport.sendto(answer, addr)


@asynccontextmanager
async def dns_server(**records: Sequence[str]) -> AsyncIterator[DnsServer]:
    """Run a server while the block runs; a name is an argument, with `_` for each dot."""
    server = DnsServer({name.replace("_", "."): ips for name, ips in records.items()})

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            size = int.from_bytes(await reader.readexactly(2), "big")
            answer = server.answer(await reader.readexactly(size), max_bytes=None)
            server.over_tcp += 1
            if answer is not None:
                writer.write(len(answer).to_bytes(2, "big") + answer)
        writer.close()

    loop = asyncio.get_running_loop()
    tcp = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.port = tcp.sockets[0].getsockname()[1]
    udp, _ = await loop.create_datagram_endpoint(
        lambda: _Datagrams(server), local_addr=("127.0.0.1", server.port)
    )
    try:
        yield server
    finally:
        udp.close()
        tcp.close()
        await tcp.wait_closed()
