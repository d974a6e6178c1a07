"""The verdict on a run: how all requests ended, and every violation; pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from uuid import UUID

from tests.benchmarks.chaos.evidence import (
    ChaosArrival,
    DialogRow,
    Evidence,
    InjectedFault,
    Row,
    Send,
)
from tests.benchmarks.chaos.fault import ChaosFaultKind
from tests.benchmarks.chaos.violation import Violation, ViolationKind

_OPEN = {"queued", "drawing", "drawn", "delivering"}
_DELIVERED = "delivered"
# The error code of requests whose send may have arrived; DELIVERY_ON_UNKNOWN decides whether it
# moves the watermark.
_UNKNOWN = "delivery_unknown"
# By the fault of a host: with which error codes it may end a request, if it comes often enough.
ENDED_BY_HOST: Mapping[str, frozenset[str]] = {
    "out-of-memory": frozenset({"out_of_memory"}),
    "stall": frozenset({"drawing_stalled", "generation_timeout"}),
    "broken-view": frozenset({"picture_broken"}),
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The contents of the table.

    `recoveries` is, for each fault, the time in seconds from its end to the next picture.
    """

    requests: int
    delivered: int
    ended: Mapping[str, int]
    sent_twice: int
    sent_twice_after_unknown: int
    drawn_twice: int
    drawn_twice_excused: int
    slowest_s: float
    recoveries: Mapping[str, float]
    violations: Sequence[Violation]

    @property
    def is_good(self) -> bool:
        return not self.violations

    def count(self, kind: ViolationKind) -> int:
        return sum(violation.kind is kind for violation in self.violations)


def judge(evidence: Evidence, *, minimum: int) -> Verdict:
    """Judge a run; `minimum` is IMAGE_TRIGGER_MIN, in messages."""
    known = {row.id for row in evidence.rows}
    repeated = _repeated(evidence)
    again = {double.picture for double in evidence.doubles}
    return Verdict(
        requests=len(known | set(evidence.committed)),
        delivered=sum(row.state == _DELIVERED for row in evidence.rows),
        ended=Counter(
            f"{row.state}/{row.error_code}"
            for row in evidence.rows
            if row.state not in {*_OPEN, _DELIVERED}
        ),
        sent_twice=len(repeated),
        sent_twice_after_unknown=sum(is_known for is_known in repeated.values()),
        drawn_twice=len(again),
        drawn_twice_excused=len(again - _avoidable_doubles(evidence)),
        slowest_s=max(
            (row.finished - row.created for row in evidence.rows if row.finished), default=0.0
        ),
        recoveries=_recoveries(evidence),
        violations=tuple(
            chain(
                _lost(evidence),
                _sent_twice(evidence, repeated),
                _drawn_twice(evidence),
                _contradictions(evidence),
                _watermarks(evidence),
                _spacing(evidence, minimum),
                _our_faults(evidence),
                _not_recovered(evidence),
            )
        ),
    )


def _lost(evidence: Evidence) -> Iterator[Violation]:
    known, arrived = {row.id for row in evidence.rows}, _arrivals(evidence)
    for request_id, caption in evidence.committed.items():
        if request_id not in known:
            yield _violation(
                ViolationKind.LOST, f"{caption}: committed, and there is no row", request_id
            )
    for row in evidence.rows:
        if row.state in _OPEN:
            yield _violation(ViolationKind.LOST, f"{row.caption}: still {row.state}", row.id)
        elif row.state == _DELIVERED and not arrived[row.caption]:
            yield _violation(
                ViolationKind.LOST, f"{row.caption}: delivered, but not in the chat", row.id
            )
        elif row.state != _DELIVERED and not (row.error_code and row.error_sentence):
            yield _violation(
                ViolationKind.LOST, f"{row.caption}: {row.state} without a reason", row.id
            )


def _repeated(evidence: Evidence) -> dict[Row, bool]:
    """Return the requests whose picture came more than once; True if `deliveries` explains it."""
    unknown = Counter(
        send.request_id for send in evidence.sends if _was_unknown(send, evidence.sends)
    )
    arrived = _arrivals(evidence)
    return {
        row: len(arrived[row.caption]) <= 1 + unknown[row.id]
        for row in evidence.rows
        if len(arrived[row.caption]) > 1
    }


def _was_unknown(send: Send, sends: Iterable[Send]) -> bool:
    """Whether nobody could know of this send, or not before another one of its request began.

    A worker that cannot reach the database writes down later that its send has arrived.
    """
    if send.outcome == "unknown":
        return True
    return send.outcome == "sent" and any(
        other.request_id == send.request_id
        and other.attempt > send.attempt
        and (send.finished is None or other.started < send.finished)
        for other in sends
    )


def _sent_twice(evidence: Evidence, repeated: Mapping[Row, bool]) -> Iterator[Violation]:
    arrived = _arrivals(evidence)
    for row, is_known in repeated.items():
        if not is_known:
            why = f"{row.caption}: {len(arrived[row.caption])} times in the chat"
            yield _violation(ViolationKind.SENT_TWICE, why, row.id)


def _avoidable_doubles(evidence: Evidence) -> set[str]:
    return {double.picture for double in evidence.doubles if double.avoidable}


def _drawn_twice(evidence: Evidence) -> Iterator[Violation]:
    for double in evidence.doubles:
        if double.avoidable:
            why = f"drawn on {double.hosts[0]} and again on {double.hosts[1]}"
            yield _violation(ViolationKind.DRAWN_TWICE, why, double.picture)


def _contradictions(evidence: Evidence) -> Iterator[Violation]:
    """Find pictures in the chat whose row says otherwise, except `delivery_unknown`."""
    arrived = _arrivals(evidence)
    for row in evidence.rows:
        is_denied = row.state not in {*_OPEN, _DELIVERED} and row.error_code != _UNKNOWN
        if is_denied and arrived[row.caption]:
            why = f"{row.caption}: {row.state}/{row.error_code}, but in the chat"
            yield _violation(ViolationKind.CONTRADICTED, why, row.id)
        ids = {arrival.message_id for arrival in arrived[row.caption]}
        if row.state == _DELIVERED and ids and row.telegram_message_id not in ids:
            why = f"{row.caption}: message {row.telegram_message_id} is another one"
            yield _violation(ViolationKind.CONTRADICTED, why, row.id)
    unknown_captions = set(arrived) - {row.caption for row in evidence.rows}
    for caption in sorted(unknown_captions):
        yield Violation(
            kind=ViolationKind.CONTRADICTED, why=f"{caption}: in the chat, and no request for it"
        )


def _watermarks(evidence: Evidence) -> Iterator[Violation]:
    """Find watermarks that are at neither the last picture nor one that may have arrived later."""
    by_dialog = _by_dialog(evidence.rows)
    for dialog in evidence.dialogs:
        rows = by_dialog[dialog.dialog_id]
        due = max((row.message_count for row in rows if row.state == _DELIVERED), default=None)
        unsure = {row.message_count for row in rows if row.error_code == _UNKNOWN}
        may_be = {due, *(count for count in unsure if count > (due or 0))}
        if dialog.watermark not in may_be:
            why = f"dialog {dialog.dialog_id}: the watermark is {dialog.watermark}, not {due}"
            yield _violation(ViolationKind.WATERMARK, why, *_ids(rows, dialog))


def _spacing(evidence: Evidence, minimum: int) -> Iterator[Violation]:
    arrived = _arrivals(evidence)
    for dialog_id, rows in _by_dialog(evidence.rows).items():
        shown = sorted(
            (row for row in rows if arrived[row.caption]), key=lambda row: row.message_count
        )
        for first, second in pairwise(shown):
            if second.message_count - first.message_count < minimum:
                why = f"dialog {dialog_id}: pictures at {first.message_count} and {second.message_count}"
                yield _violation(ViolationKind.SPACING, why, first.id, second.id)


def _our_faults(evidence: Evidence) -> Iterator[Violation]:
    for worker_fault in evidence.worker_faults:
        about = (worker_fault.request_id,) if worker_fault.request_id else ()
        yield _violation(
            ViolationKind.OUR_FAULT, f"{worker_fault.worker}: {worker_fault.what}", *about
        )
    allowed = _allowed_codes(evidence)
    for row in evidence.rows:
        if row.error_code is not None and row.error_code not in allowed:
            why = f"{row.caption}: {row.state}/{row.error_code}, {row.error_sentence}"
            yield _violation(ViolationKind.OUR_FAULT, why, row.id)


def _allowed_codes(evidence: Evidence) -> set[str]:
    """Return the codes with which a request may end in this run; all others are faults of ours."""
    faults_of_hosts = [
        each.what for each in evidence.injected if each.kind == ChaosFaultKind.HOST_FAULTY
    ]
    ended_by_host = [
        codes
        for detail, codes in ENDED_BY_HOST.items()
        if any(detail in what for what in faults_of_hosts)
    ]
    return {_UNKNOWN}.union(*ended_by_host)


def _not_recovered(evidence: Evidence) -> Iterator[Violation]:
    """Find dialogs that got no picture although nothing was broken any more."""
    rows = {row.id: row for row in evidence.rows}
    for dialog_id, request_id in evidence.last_requests.items():
        row = rows.get(request_id) if request_id else None
        if request_id is None:
            yield _violation(
                ViolationKind.NOT_RECOVERED, f"dialog {dialog_id}: no picture became due"
            )
        elif row is not None and row.state not in {*_OPEN, _DELIVERED}:
            why = f"{row.caption}: {row.state}/{row.error_code} when nothing was broken"
            yield _violation(ViolationKind.NOT_RECOVERED, why, row.id)


def _recoveries(evidence: Evidence) -> dict[str, float]:
    """Return for each fault how many seconds passed until the next picture.

    Counted from when somebody waited for one, without the time of other, total outages.
    """
    times = sorted(arrival.when for arrival in evidence.arrivals)
    outages = [injected for injected in evidence.injected if injected.is_total]
    found = {}
    for injected in evidence.injected:
        came = next((when for when in times if when >= injected.ended), None)
        if came is not None:
            since = min(came, _waited_since(evidence.rows, injected.ended))
            found[injected.what] = came - since - _out(outages, since, came)
    return found


def _waited_since(rows: Iterable[Row], when: float) -> float:
    """Return the time from which somebody waited for a picture: `when`, or the next request's."""
    waiting = (row for row in rows if row.finished is None or row.finished > when)
    return min((max(row.created, when) for row in waiting), default=when)


def _out(outages: Iterable[InjectedFault], since: float, until: float) -> float:
    """Return how much of that time lies within outages; each moment is counted once."""
    total, counted = 0.0, since
    for outage in sorted(outages, key=lambda outage: outage.began):
        began, ended = max(outage.began, counted), min(outage.ended, until)
        total += max(0.0, ended - began)
        counted = max(counted, ended)
    return total


def _arrivals(evidence: Evidence) -> dict[str, list[ChaosArrival]]:
    found: dict[str, list[ChaosArrival]] = defaultdict(list)
    for arrival in evidence.arrivals:
        found[arrival.caption].append(arrival)
    return found


def _by_dialog(rows: Iterable[Row]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        found[row.dialog_id].append(row)
    return found


def _ids(rows: Iterable[Row], dialog: DialogRow) -> list[UUID]:
    """Return the requests that may have left that watermark, and the newest that should have."""
    delivered = (row for row in rows if row.state == _DELIVERED)
    newest = sorted(delivered, key=lambda row: row.message_count)[-1:]
    left = [row for row in rows if row.message_count == dialog.watermark]
    return [row.id for row in dict.fromkeys([*left, *newest])]


def _violation(kind: ViolationKind, why: str, *requests: object) -> Violation:
    return Violation(kind=kind, why=why, requests=tuple(str(each) for each in requests))
