"""Faults as text, such as `drop:method=sendPhoto,accepted=yes,times=2`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from imagegen.sandbox.errors import SandboxError
from imagegen.sandbox.telegram.faults import ScriptedTrouble, Trouble


class BadFault(SandboxError, ValueError):
    """A fault that is not written as it should be; the message is one sentence."""


@dataclass(frozen=True, kw_only=True)
class _Parameters:
    accepted: bool
    seconds: float | None
    status: int | None
    text: str | None
    to: int | None


@dataclass(frozen=True, kw_only=True)
class TroubleKind:
    """A kind of fault: its line of help, the parameters of its own, and what it makes."""

    line: str
    takes: tuple[str, ...]
    make: Callable[[_Parameters], Trouble]


KINDS: Mapping[str, TroubleKind] = {
    "flood": TroubleKind(
        line="429 with retry_after, 3 seconds if left out",
        takes=("seconds",),
        make=lambda given: Trouble.flood(int(given.seconds or 3)),
    ),
    "refused": TroubleKind(
        line="an error answer of that status (400 if left out) and description",
        takes=("status", "text"),
        make=lambda given: Trouble.refused(
            given.status or 400, given.text or "Bad Request: CHAT_RESTRICTED"
        ),
    ),
    "migrated": TroubleKind(
        line="400 with migrate_to_chat_id, that of `to`",
        takes=("to",),
        make=lambda given: Trouble.migrated(given.to or -1001),
    ),
    "server-error": TroubleKind(
        line="500 Internal Server Error",
        takes=("status",),
        make=lambda given: Trouble.server_error(given.status or 500),
    ),
    "bad-gateway": TroubleKind(
        line="502 and a proxy's web page",
        takes=("accepted",),
        make=lambda given: Trouble.bad_gateway(is_accepted=given.accepted),
    ),
    "drop": TroubleKind(
        line="the connection breaks before the answer",
        takes=("accepted",),
        make=lambda given: Trouble.drop(is_accepted=given.accepted),
    ),
    "hang": TroubleKind(
        line="the connection stays open, and no answer comes",
        takes=("accepted",),
        make=lambda given: Trouble.hang(is_accepted=given.accepted),
    ),
    "late": TroubleKind(
        line="the call is carried out at once and answered later, 5 seconds if left out",
        takes=("seconds",),
        make=lambda given: Trouble.late(5.0 if given.seconds is None else given.seconds),
    ),
}
_ALL_TAKE = ("method", "chat", "times")


def parse_fault(text: str) -> ScriptedTrouble:
    """Read a fault: its kind, a colon, and `name=value` parameters with commas between.

    Raises:
        BadFault: there is no such kind or parameter, or a value is wrong.
    """
    name, _, rest = text.partition(":")
    kind = KINDS.get(name)
    if kind is None:
        raise BadFault(f"there is no fault {name!r}; there are {', '.join(KINDS)}")
    given: dict[str, str] = {}
    for part in filter(None, rest.split(",")):
        key, _, value = part.partition("=")
        if key not in {*kind.takes, *_ALL_TAKE} or not value:
            takes = ", ".join((*kind.takes, *_ALL_TAKE))
            raise BadFault(f"{name}: {part!r} is no parameter of it; it takes {takes}")
        given[key] = value
    if given.get("accepted", "no") not in {"yes", "no"}:
        raise BadFault(f"{name}: accepted must be yes or no")
    if given.get("times", "1").lstrip("0") in {"", "-"} or given.get("times", "").startswith("-"):
        raise BadFault(f"{name}: times must be 1 or more, or ever")
    try:
        return ScriptedTrouble(
            trouble=kind.make(
                _Parameters(
                    accepted=given.get("accepted", "no") == "yes",
                    seconds=float(given["seconds"]) if "seconds" in given else None,
                    status=int(given["status"]) if "status" in given else None,
                    text=given.get("text"),
                    to=int(given["to"]) if "to" in given else None,
                )
            ),
            method=given.get("method"),
            chat_id=int(given["chat"]) if "chat" in given else None,
            text=text,
            times=None if given.get("times") == "ever" else int(given.get("times", "1")),
        )
    except ValueError as error:
        raise BadFault(f"{text}: {error}") from error
