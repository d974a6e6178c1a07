"""Who may see the status page, and who may change something on it.

A visitor signs in with a token, or a proxy before the worker names them in a header. Where neither
is set, only a page that is bound to loopback is shown. A session is a signed cookie, so that each
worker of an installation takes the sessions of the others.
"""

import enum
import hashlib
import hmac
import ipaddress
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp import web

COOKIE = "imagegen_status"
SESSION_S = 12 * 3600
CSRF_HEADER = "X-CSRF-Token"

# Headers of proxies: what comes through one does not come from this machine.
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")


class Role(enum.StrEnum):
    """What a visitor may do: an operator may change something, a reader may look."""

    READER = "reader"
    OPERATOR = "operator"


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """Somebody who may see the page.

    `is_signed_in` is False for a visitor from this machine where nobody has to sign in; such a one
    is shown no picture. `csrf` is what each of their changes has to carry.
    """

    role: Role
    is_signed_in: bool
    csrf: str


@dataclass(frozen=True, kw_only=True)
class StatusAccess:
    """Tells who a visitor is.

    `tokens` has the token of each role that may sign in. `proxy_header` is the header in which a
    proxy names its user, and `role_header` the one in which it says `operator`; None for no such
    header. `secret` is what all workers of the installation have. `is_loopback`: the page is bound
    to loopback. `served_at` is the address at which the page is reached, None if unknown. `clock`
    returns the time in seconds since the epoch.
    """

    tokens: Mapping[Role, str] = field(repr=False)
    proxy_header: str | None
    role_header: str | None
    secret: str = field(repr=False)
    is_loopback: bool
    served_at: str | None
    clock: Callable[[], float] = time.time

    @property
    def is_offered(self) -> bool:
        """Whether anybody may see the page."""
        return bool(self.tokens or self.proxy_header) or self.is_loopback

    def visitor(self, request: web.Request) -> Visitor | None:
        """Return who sends a request; None if they have to sign in, or may not see the page."""
        if self.proxy_header and (user := request.headers.get(self.proxy_header)):
            said = request.headers.get(self.role_header, "") if self.role_header else ""
            role = Role.OPERATOR if said.strip().lower() == Role.OPERATOR else Role.READER
            return self._visitor(role, key=self.secret, identity=f"proxy {role} {user}")
        if self.tokens:
            return self._of_session(request.cookies.get(COOKIE, ""))
        if self.is_loopback and not self.proxy_header and _is_of_this_machine(request):
            return self._visitor(
                Role.OPERATOR, key=self.secret, identity="this machine", is_signed_in=False
            )
        return None

    def sign_in(self, token: str) -> str | None:
        """Return the value of the cookie for a visitor with this token; None for a wrong one."""
        # All are compared, so that the time does not tell which one was nearly right.
        right = [role for role, ours in self.tokens.items() if _is_same(ours, token)]
        if not right:
            return None
        role, expires = right[0], str(int(self.clock()) + SESSION_S)
        return f"{role}.{expires}.{self._signature(role, expires)}"

    def is_from_the_page(self, request: web.Request) -> bool:
        """Whether a browser says that a page of ours sends this request, and not another site."""
        origin = urlsplit(request.headers.get("Origin", ""))
        ours = {request.host.lower(), urlsplit(self.served_at or "").netloc.lower()} - {""}
        is_same_site = request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
        return is_same_site and origin.netloc.lower() in ours

    def may_change(self, request: web.Request, visitor: Visitor) -> bool:
        """Whether a request may change something: by an operator, from the page, with its token."""
        return (
            visitor.role is Role.OPERATOR
            and self.is_from_the_page(request)
            and request.content_type == "application/json"
            and _is_same(visitor.csrf, request.headers.get(CSRF_HEADER, ""))
        )

    def _of_session(self, cookie: str) -> Visitor | None:
        name, _, rest = cookie.partition(".")
        expires, _, signature = rest.partition(".")
        if name not in self.tokens:
            return None
        role = Role(name)
        is_ours = _is_same(self._signature(role, expires), signature)
        # What we have signed is a number, and what others write may be anything.
        if not is_ours or self.clock() >= int(expires):
            return None
        return self._visitor(role, key=self.tokens[role], identity=cookie)

    def _signature(self, role: Role, expires: str) -> str:
        return _signed(self.tokens[role], "session", f"{role}:{expires}")

    @staticmethod
    def _visitor(role: Role, *, key: str, identity: str, is_signed_in: bool = True) -> Visitor:
        return Visitor(role=role, is_signed_in=is_signed_in, csrf=_signed(key, "change", identity))


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_of_this_machine(request: web.Request) -> bool:
    """Whether a browser on this machine asks for this machine by name.

    A page of another site can lead a browser here under a name of its own (DNS rebinding), and a
    proxy on this machine brings requests of others.
    """
    is_forwarded = any(name in request.headers for name in _FORWARDED)
    name = urlsplit(f"//{request.host}").hostname or ""
    return is_loopback(name) and not is_forwarded


def _is_same(ours: str, theirs: str) -> bool:
    return hmac.compare_digest(ours.encode(), theirs.encode(errors="replace"))


def _signed(key: str, purpose: str, text: str) -> str:
    derived = hmac.digest(
        key.encode(), f"chatflow-imagegen status {purpose}".encode(), hashlib.sha256
    )
    return hmac.digest(derived, text.encode(errors="replace"), hashlib.sha256).hex()
