"""Who may see the status page and who may change something, over real HTTP."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from imagegen.monitoring import http_server
from imagegen.monitoring.readiness import Readiness
from imagegen.monitoring.status.access import SESSION_S, Role, StatusAccess, is_loopback
from imagegen.monitoring.status.routes import StatusPage
from tests.support.ports import free_port

TOKEN, READ_TOKEN = "an operators token", "a readers token 1"
BOTH = {Role.OPERATOR: TOKEN, Role.READER: READ_TOKEN}
# The worker of these tests has not started, so what is allowed is answered with 503.
ALLOWED, SIGN_IN, FORBIDDEN = 503, 401, 403
READS = ("/status/events", "/status/requests/1", "/status/pictures/1")


class Visit:
    """A browser at the page: it keeps cookies, and says where it comes from."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        async with self.session.get(self.url + path, headers=headers) as answer:
            return answer.status, await answer.text()

    async def sign_in(self, token: str, *, origin: str | None = None) -> tuple[int, str]:
        async with self.session.post(
            f"{self.url}/status/session",
            data={"token": token},
            headers={"Origin": origin or self.url},
            allow_redirects=False,
        ) as answer:
            return answer.status, answer.headers.get("Location", "")

    async def pause(self, headers: Mapping[str, str]) -> int:
        order = {"scope": "persona", "name": "lina", "is_paused": True}
        async with self.session.post(
            f"{self.url}/status/pause", json=order, headers=headers
        ) as answer:
            return answer.status


def access_of(**changes: Any) -> StatusAccess:
    usual: dict[str, Any] = {
        "tokens": {},
        "proxy_header": None,
        "role_header": None,
        "secret": "of all workers",
        "is_loopback": False,
        "served_at": None,
    }
    return StatusAccess(**(usual | changes))


@asynccontextmanager
async def visiting(access: StatusAccess) -> AsyncIterator[Visit]:
    port = free_port()
    readiness = Readiness(lambda: False)
    async with (
        http_server.serving("127.0.0.1", port, readiness, StatusPage(access).routes()),
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
    ):
        yield Visit(session, f"http://127.0.0.1:{port}")


def csrf(access: StatusAccess, visit: Visit, **headers: str) -> dict[str, str]:
    """Return the headers with which the page sends a change for this visitor."""
    cookies = {cookie.key: cookie.value for cookie in visit.session.cookie_jar}
    request: Any = type(
        "Request",
        (),
        {"headers": headers, "cookies": cookies, "host": visit.url.removeprefix("http://")},
    )
    visitor = access.visitor(request)
    assert visitor is not None
    return {"Origin": visit.url, "X-CSRF-Token": visitor.csrf, **headers}


async def test_without_a_token_a_page_that_others_can_reach_is_not_shown() -> None:
    async with visiting(access_of()) as visit:
        status, text = await visit.get("/")
        reads = [(await visit.get(path))[0] for path in READS]
        pause = await visit.pause({"Origin": visit.url, "X-CSRF-Token": "x"})

    assert (status, reads, pause) == (FORBIDDEN, [SIGN_IN] * 3, SIGN_IN)
    assert "set STATUS_TOKEN" in text


@pytest.mark.parametrize(
    ("token", "may_change"), [(TOKEN, True), (READ_TOKEN, False)], ids=["operator", "reader"]
)
async def test_who_signs_in_sees_the_page_and_an_operator_may_change_it(
    token: str, *, may_change: bool
) -> None:
    access = access_of(tokens=BOTH)
    async with visiting(access) as visit:
        before = await visit.get("/")
        signed_in = await visit.sign_in(token)
        page = await visit.get("/")
        reads = [(await visit.get(path))[0] for path in READS[:1]]
        changes = await visit.pause(csrf(access, visit))
        (cookie,) = visit.session.cookie_jar

    assert before[0] == SIGN_IN
    assert "<form" in before[1]
    assert (signed_in, page[0]) == ((303, "../"), 200)
    assert reads == [ALLOWED]
    assert changes == (ALLOWED if may_change else FORBIDDEN)
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Strict")
    assert token not in cookie.value


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", "ключ"])
async def test_a_wrong_token_is_told_and_gets_nothing(token: str) -> None:
    async with visiting(access_of(tokens=BOTH)) as visit:
        assert await visit.sign_in(token) == (303, "../?wrong")
        status, text = await visit.get("/?wrong")
        assert (await visit.get("/status/events"))[0] == SIGN_IN

    assert status == SIGN_IN
    assert "That is not the token" in text


async def test_a_session_ends_with_its_time_with_its_token_and_by_signing_out() -> None:
    now = [1_000.0]
    access = access_of(tokens=BOTH, clock=lambda: now[0])
    async with visiting(access) as visit:
        await visit.sign_in(TOKEN)
        now[0] += SESSION_S - 1
        before_its_end = (await visit.get("/status/events"))[0]
        now[0] += 1
        after_its_end = (await visit.get("/status/events"))[0]
        await visit.sign_in(TOKEN)
        async with visit.session.post(
            f"{visit.url}/status/session/end", headers={"Origin": visit.url}
        ):
            pass
        signed_out = (await visit.get("/status/events"))[0]
        cookie = access.sign_in(TOKEN)
    async with visiting(access_of(tokens={Role.OPERATOR: "another token 12"})) as visit:
        other_token = (await visit.get("/status/events", Cookie=f"imagegen_status={cookie}"))[0]

    assert (before_its_end, after_its_end) == (ALLOWED, SIGN_IN)
    assert (signed_out, other_token) == (SIGN_IN, SIGN_IN)


async def test_a_readers_cookie_does_not_become_an_operators() -> None:
    access = access_of(tokens=BOTH)
    cookie = access.sign_in(READ_TOKEN) or ""
    forged = cookie.replace("reader.", "operator.")
    # More digits than Python reads as a number.
    long = f"operator.{'9' * 5000}.x"
    others = ("operator", "operator.x.y", "operator.9999999999.", "админ.1.2", "")
    async with visiting(access) as visit:
        for wrong in (forged, long, *others):
            status, _ = await visit.get("/status/events", Cookie=f"imagegen_status={wrong}")
            assert status == SIGN_IN, wrong


async def test_another_site_can_neither_change_something_nor_sign_somebody_in() -> None:
    access = access_of(tokens=BOTH, served_at="http://bot.example/worker")
    async with visiting(access) as visit:
        refused = await visit.sign_in(TOKEN, origin="https://evil.example")
        await visit.sign_in(TOKEN)
        right = csrf(access, visit)

        good = [right, {**right, "Origin": "http://bot.example"}]
        bad = [
            {**right, "Origin": "https://evil.example"},
            {**right, "Origin": "null"},
            {name: value for name, value in right.items() if name != "Origin"},
            {**right, "Sec-Fetch-Site": "cross-site"},
            {**right, "Sec-Fetch-Site": "same-site"},
            {**right, "X-CSRF-Token": "0" * 64},
            {name: value for name, value in right.items() if name != "X-CSRF-Token"},
            {**right, "Content-Type": "text/plain"},
        ]

        assert refused[0] == FORBIDDEN
        assert [await visit.pause(headers) for headers in good] == [ALLOWED, ALLOWED]
        assert [await visit.pause(headers) for headers in bad] == [FORBIDDEN] * len(bad)


async def test_a_proxy_is_believed_only_where_its_header_is_set() -> None:
    user = {"X-Forwarded-User": "ann"}
    operator = {**user, "X-Forwarded-Role": "Operator"}
    named = {"proxy_header": "X-Forwarded-User", "role_header": "X-Forwarded-Role"}
    access = access_of(**named)
    async with visiting(access) as visit:
        assert (await visit.get("/"))[0] == FORBIDDEN
        assert (await visit.get("/status/events"))[0] == SIGN_IN
        assert (await visit.get("/", **user))[0] == 200
        assert await visit.pause(csrf(access, visit, **user)) == FORBIDDEN
        assert await visit.pause(csrf(access, visit, **operator)) == ALLOWED
    async with visiting(access_of(tokens=BOTH)) as visit:
        assert (await visit.get("/status/events", **operator))[0] == SIGN_IN
    without_role = access_of(proxy_header="X-Forwarded-User")
    async with visiting(without_role) as visit:
        assert await visit.pause(csrf(without_role, visit, **operator)) == FORBIDDEN


async def test_on_loopback_nobody_has_to_sign_in_but_only_this_machine_is_let_in() -> None:
    access = access_of(is_loopback=True)
    async with visiting(access) as visit:
        assert (await visit.get("/"))[0] == 200
        assert await visit.pause(csrf(access, visit)) == ALLOWED
        assert (await visit.get("/status/pictures/1"))[0] == FORBIDDEN
        # A page of another site that has led its own name to this machine, and a proxy on it.
        for headers in ({"Host": "evil.example"}, {"X-Forwarded-For": "203.0.113.7"}):
            assert (await visit.get("/status/events", **headers))[0] == SIGN_IN
    async with visiting(access_of(is_loopback=True, tokens=BOTH)) as visit:
        assert (await visit.get("/status/events"))[0] == SIGN_IN


async def test_every_answer_has_a_strict_policy_and_is_kept_by_nobody() -> None:
    async with visiting(access_of(tokens=BOTH)) as visit:
        for path in ("/", "/status/page/status.js", "/status/page/no.js", "/status/events"):
            async with visit.session.get(visit.url + path) as answer:
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                assert answer.headers["Cache-Control"] == "no-store"
        async with visit.session.get(f"{visit.url}/healthz") as answer:
            assert await answer.json() == {"alive": True}


def test_which_addresses_only_this_machine_reaches() -> None:
    assert [is_loopback(each) for each in ("127.0.0.1", "::1", "localhost", "127.8.0.1")] == [
        True
    ] * 4
    assert not any(is_loopback(each) for each in ("0.0.0.0", "::", "10.0.0.1", "example.org", ""))  # noqa: S104 (compared, not bound)
