"""DnsResolver: the A and AAAA records of a name, and the difference between none and no answer."""

from collections.abc import Sequence
from typing import Literal

Family = Literal["A", "AAAA"]
FAMILIES: tuple[Family, ...] = ("A", "AAAA")

# How long one question may take, over all servers and tries.
_LIFETIME_S = 2.0


class NameNotResolved(Exception):
    """No name server has given an answer, so that nobody knows which records there are."""


class DnsResolver:
    """Asks the name servers of /etc/resolv.conf, with its search list.

    `nameservers` and `port` are others to ask, and `resolv_conf` is another file, for tests. The
    file is read at each question, as the servers may change while a worker runs.
    """

    def __init__(
        self,
        nameservers: Sequence[str] | None = None,
        *,
        port: int = 53,
        resolv_conf: str = "/etc/resolv.conf",
    ) -> None:
        self._nameservers = nameservers
        self._port = port
        self._resolv_conf = resolv_conf

    async def records(self, host: str, family: Family) -> frozenset[str]:
        """Return the addresses of a name; none if it has no such record, or does not exist.

        Raises:
            NameNotResolved: no server has answered, or one answers that it has failed; or the file
                cannot be read, or names no server.
        """
        # Only a worker whose hosts have DNS names pays for this import.
        import dns.asyncresolver  # noqa: PLC0415
        import dns.exception  # noqa: PLC0415
        import dns.resolver  # noqa: PLC0415

        try:
            resolver = dns.asyncresolver.Resolver(
                self._resolv_conf, configure=self._nameservers is None
            )
            if self._nameservers is not None:
                resolver.nameservers = list(self._nameservers)
                resolver.port = self._port
            resolver.lifetime = _LIFETIME_S
            answer = await resolver.resolve(host, family, search=True, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN:
            # Servers of Kubernetes say so of a headless service without any ready pod.
            return frozenset()
        except (dns.exception.DNSException, OSError, ValueError) as error:
            raise NameNotResolved(f"{host}: {error or type(error).__name__}") from error
        return frozenset(record.to_text() for record in answer.rrset or ())
