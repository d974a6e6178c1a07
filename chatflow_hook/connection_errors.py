"""Says why a connection to a server failed: the same words for Redis, Telegram and all others."""

import errno
import socket
import ssl
from collections.abc import Iterator


def reason(error: BaseException) -> str | None:
    """Return why a connection failed, as the end of a sentence that begins with the server's address.

    None if no error of the system is among the causes of `error`.
    """
    return next((_reason(each) for each in causes(error) if isinstance(each, OSError)), None)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the causes of an error and then itself: the error of the system says most."""
    if error is not None:
        yield from causes(error.__cause__ or error.__context__)
        yield error


def _reason(error: OSError) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"has a certificate that is not trusted ({error.verify_message})"
        case ssl.SSLError():
            return f"does not agree on TLS ({error.reason or 'no reason given'})"
        case socket.gaierror():
            return "has a host name that is not known"
        case TimeoutError():
            return "does not answer in time"
    # Drivers look for certificates in the home directory, which may be closed to this account.
    if isinstance(error, PermissionError) and error.filename:
        return f"cannot be reached, since this account may not look at {error.filename}"
    # Where a name has several addresses, asyncio puts all their errors into one text.
    if error.errno == errno.ECONNREFUSED or f"[Errno {errno.ECONNREFUSED}]" in str(error):
        return "refuses the connection: nothing listens there, or a firewall forbids it"
    if error.errno in (errno.ECONNRESET, errno.EPIPE):
        return "broke the connection"
    if "rejected SSL upgrade" in str(error):  # asyncpg's own
        return "does not speak TLS: write sslmode=disable, or turn TLS on there"
    return f"cannot be reached: {errno.errorcode.get(error.errno or 0, type(error).__name__)}"
