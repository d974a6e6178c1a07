"""HostAddress: where one ComfyUI host is, and the URLs of its routes. DnsName: a name of many."""

from dataclasses import dataclass
from typing import Self

from yarl import URL

_DEFAULT_PORT = 8188
_DNS_SCHEME = "dns"


@dataclass(frozen=True, kw_only=True)
class HostAddress:
    """The base URL of a host."""

    base: URL

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `host`, `host:port` (both http) or `https://host/prefix`; the default port is 8188.

        Raises:
            ValueError: the text is no such address, or it has a password in it.
        """
        text = text.strip()
        url = URL(text if "://" in text else f"http://{text}")
        # Checked first, because the next message quotes the whole address.
        if url.user or url.password:
            raise ValueError("a password does not belong in a host's address")
        is_plain = not (url.query or url.fragment or any(char in text for char in " ,;"))
        if url.scheme not in {"http", "https"} or not url.host or not is_plain:
            raise ValueError(f"{text!r} is no host:port and no http(s) address")
        if "://" not in text and url.explicit_port is None:
            url = url.with_port(_DEFAULT_PORT)
        return cls(base=url.with_path(url.path.rstrip("/")))

    @property
    def name(self) -> str:
        """The host's name in logs and sentences: `gpu-1:8188`, with its URL prefix if it has one."""
        return f"{self.base.host_subcomponent}:{self.base.port}{self.base.path.rstrip('/')}"

    def url(self, path: str, **query: str) -> URL:
        """Return the URL of a route such as `/prompt`."""
        return self.base.joinpath(*path.strip("/").split("/")).with_query(query)

    def websocket(self, client_id: str) -> URL:
        """Return the URL of the websocket of one client, ws or wss."""
        scheme = "wss" if self.base.scheme == "https" else "ws"
        return self.url("/ws", clientId=client_id).with_scheme(scheme)


@dataclass(frozen=True, kw_only=True)
class DnsName:
    """A DNS name whose A and AAAA records are ComfyUI hosts, all of them on one port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `dns://host:port`; the default port is 8188.

        Raises:
            ValueError: the text is no such address.
        """
        url = URL(text.strip())
        is_plain = not (
            url.user or url.password or url.query or url.fragment or url.path.strip("/")
        )
        if url.scheme != _DNS_SCHEME or not url.host or not is_plain:
            raise ValueError(f"{text!r} is no dns://name:port")
        return cls(host=url.host, port=url.explicit_port or _DEFAULT_PORT)

    @property
    def name(self) -> str:
        """How it is written in COMFYUI_HOSTS, with its port."""
        return f"{_DNS_SCHEME}://{self.host}:{self.port}"

    def address(self, ip: str) -> HostAddress:
        """Return the address of the host behind one record."""
        host = f"[{ip}]" if ":" in ip else ip
        return HostAddress.parse(f"{host}:{self.port}")


def parse_host(text: str) -> HostAddress | DnsName:
    """Read one entry of COMFYUI_HOSTS.

    Raises:
        ValueError: the text is neither the address of a host nor a DNS name of hosts.
    """
    is_dns = text.strip().startswith(f"{_DNS_SCHEME}://")
    return DnsName.parse(text) if is_dns else HostAddress.parse(text)
