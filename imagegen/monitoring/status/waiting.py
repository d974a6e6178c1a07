"""Why a request waits, in a sentence for an operator; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chatflow_hook.tables import State
from imagegen.monitoring.status.status_queries import OpenRequest
from imagegen.requests.pauses import Pause, PauseScope

_USABLE = ("up", "suspect")


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What requests may wait for.

    `conditions` are those of the hosts, by name. `workers`: how many there are. `reasons` are those
    of the last tries, by the id of the request; a request that was not tried lately has none.
    """

    pauses: Sequence[Pause]
    conditions: Mapping[str, str]
    workers: int
    reasons: Mapping[str, str]


def why_waits(request: OpenRequest, around: Circumstances) -> str:
    """Return why a request that is not being drawn is not in the chat yet."""
    if request.state == State.QUEUED and (pause := _pause(request, around.pauses)):
        return pause.sentence
    if not around.workers:
        return "no worker runs"
    if request.state == State.DELIVERING:
        return "is being sent"
    if request.is_claimed:
        return _why_claimed(request, around)
    if reason := around.reasons.get(str(request.id)):
        return reason
    if request.crashes:
        return f"its worker died {request.crashes} times; another worker takes it up"
    if request.state == State.DRAWN:
        return "is drawn, and is sent next"
    return "waits in the queue for a worker"


def _why_claimed(request: OpenRequest, around: Circumstances) -> str:
    if request.state == State.DRAWN:
        return "is drawn, and is sent now"
    if not request.waits_for_slot:
        return "its prompt is being written"
    usable = [name for name, condition in around.conditions.items() if condition in _USABLE]
    if not usable:
        return "waits for a host: none is up"
    return "waits for a free slot on a host"


def _pause(request: OpenRequest, pauses: Sequence[Pause]) -> Pause | None:
    names = {PauseScope.PERSONA: request.persona, PauseScope.KIND: request.kind}
    return next((pause for pause in pauses if names[pause.scope] == pause.name), None)
