"""The verdict on a run: what came of all requests, and every offence; pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from uuid import UUID

from tests.benchmarks.chaos.evidence import Arrival, Evidence, Mark, Row, Struck
from tests.benchmarks.chaos.violation import Crime, Offence

_OPEN = {"queued", "drawing", "drawn", "delivering"}
_DELIVERED = "delivered"
# The code of an end after sends that may have arrived; whether it moves the watermark is settable.
_UNKNOWN = "delivery_unknown"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the table tells. `recoveries` says of each blow how long after it no picture came, in s."""

    requests: int
    delivered: int
    ended: Mapping[str, int]
    sent_twice: int
    sent_twice_after_unknown: int
    drawn_twice: int
    drawn_twice_excused: int
    slowest_s: float
    recoveries: Mapping[str, float]
    offences: Sequence[Offence]

    @property
    def is_good(self) -> bool:
        return not self.offences

    def count(self, crime: Crime) -> int:
        return sum(offence.crime is crime for offence in self.offences)


def judge(evidence: Evidence, *, minimum: int) -> Verdict:
    """Judge a run; `minimum` is the trigger's, in messages."""
    known = {row.id for row in evidence.rows}
    repeated = _repeated(evidence)
    again = {double.picture for double in evidence.doubles}
    return Verdict(
        requests=len(known | set(evidence.promised)),
        delivered=sum(row.state == _DELIVERED for row in evidence.rows),
        ended=Counter(
            f"{row.state}/{row.error_code}"
            for row in evidence.rows
            if row.state not in {*_OPEN, _DELIVERED}
        ),
        sent_twice=len(repeated),
        sent_twice_after_unknown=sum(is_known for is_known in repeated.values()),
        drawn_twice=len(again),
        drawn_twice_excused=len(again - _drawn_for_nothing(evidence)),
        slowest_s=max(
            (row.finished - row.created for row in evidence.rows if row.finished), default=0.0
        ),
        recoveries=_recoveries(evidence),
        offences=tuple(
            chain(
                _lost(evidence),
                _sent_twice(evidence, repeated),
                _drawn_twice(evidence),
                _belied(evidence),
                _watermarks(evidence),
                _spacing(evidence, minimum),
                _our_faults(evidence),
            )
        ),
    )


def _lost(evidence: Evidence) -> Iterator[Offence]:
    known, arrived = {row.id for row in evidence.rows}, _arrivals(evidence)
    for request_id, caption in evidence.promised.items():
        if request_id not in known:
            yield _offence(Crime.LOST, f"{caption}: committed, and there is no row", request_id)
    for row in evidence.rows:
        if row.state in _OPEN:
            yield _offence(Crime.LOST, f"{row.caption}: still {row.state}", row.id)
        elif row.state == _DELIVERED and not arrived[row.caption]:
            yield _offence(Crime.LOST, f"{row.caption}: delivered, but not in the chat", row.id)
        elif row.state != _DELIVERED and not (row.error_code and row.error_sentence):
            yield _offence(Crime.LOST, f"{row.caption}: {row.state} without a reason", row.id)


def _repeated(evidence: Evidence) -> dict[Row, bool]:
    """Return the requests whose picture came more than once, and whether the ledger knows why."""
    unknown = Counter(send.request_id for send in evidence.sends if send.outcome == "unknown")
    arrived = _arrivals(evidence)
    return {
        row: len(arrived[row.caption]) <= 1 + unknown[row.id]
        for row in evidence.rows
        if len(arrived[row.caption]) > 1
    }


def _sent_twice(evidence: Evidence, repeated: Mapping[Row, bool]) -> Iterator[Offence]:
    arrived = _arrivals(evidence)
    for row, is_known in repeated.items():
        if not is_known:
            why = f"{row.caption}: {len(arrived[row.caption])} times in the chat"
            yield _offence(Crime.SENT_TWICE, why, row.id)


def _drawn_for_nothing(evidence: Evidence) -> set[str]:
    avoidable = {double.picture for double in evidence.doubles if double.avoidable}
    return avoidable - evidence.excused


def _drawn_twice(evidence: Evidence) -> Iterator[Offence]:
    guilty = _drawn_for_nothing(evidence)
    for double in evidence.doubles:
        if double.avoidable and double.picture in guilty:
            why = f"drawn on {double.hosts[0]} and again on {double.hosts[1]}"
            yield _offence(Crime.DRAWN_TWICE, why, double.picture)


def _belied(evidence: Evidence) -> Iterator[Offence]:
    """Find what the chat shows and the row denies, but for those that say that they don't know."""
    arrived = _arrivals(evidence)
    for row in evidence.rows:
        is_denied = row.state not in {*_OPEN, _DELIVERED} and row.error_code != _UNKNOWN
        if is_denied and arrived[row.caption]:
            why = f"{row.caption}: {row.state}/{row.error_code}, but in the chat"
            yield _offence(Crime.BELIED, why, row.id)
        ids = {arrival.message_id for arrival in arrived[row.caption]}
        if row.state == _DELIVERED and ids and row.telegram_message_id not in ids:
            why = f"{row.caption}: message {row.telegram_message_id} is another one"
            yield _offence(Crime.BELIED, why, row.id)
    strange = set(arrived) - {row.caption for row in evidence.rows}
    for caption in sorted(strange):
        yield Offence(crime=Crime.BELIED, why=f"{caption}: in the chat, and no request for it")


def _watermarks(evidence: Evidence) -> Iterator[Offence]:
    """Find watermarks that are not at the last picture, or at one that may have arrived later."""
    by_dialog = _by_dialog(evidence.rows)
    for mark in evidence.marks:
        rows = by_dialog[mark.dialog_id]
        due = max((row.message_count for row in rows if row.state == _DELIVERED), default=None)
        unsure = {row.message_count for row in rows if row.error_code == _UNKNOWN}
        may_be = {due, *(count for count in unsure if count > (due or 0))}
        if mark.watermark not in may_be:
            why = f"dialog {mark.dialog_id}: the watermark is {mark.watermark}, not {due}"
            yield _offence(Crime.WATERMARK, why, *_ids(rows, mark))


def _spacing(evidence: Evidence, minimum: int) -> Iterator[Offence]:
    arrived = _arrivals(evidence)
    for dialog_id, rows in _by_dialog(evidence.rows).items():
        shown = sorted(
            (row for row in rows if arrived[row.caption]), key=lambda row: row.message_count
        )
        for first, second in pairwise(shown):
            if second.message_count - first.message_count < minimum:
                why = f"dialog {dialog_id}: pictures at {first.message_count} and {second.message_count}"
                yield _offence(Crime.SPACING, why, first.id, second.id)


def _our_faults(evidence: Evidence) -> Iterator[Offence]:
    for complaint in evidence.complaints:
        about = (complaint.request_id,) if complaint.request_id else ()
        yield _offence(Crime.OUR_FAULT, f"{complaint.worker}: {complaint.what}", *about)
    for row in evidence.rows:
        if row.error_code == "internal":
            yield _offence(Crime.OUR_FAULT, f"{row.caption}: {row.error_sentence}", row.id)


def _recoveries(evidence: Evidence) -> dict[str, float]:
    """Return for each blow how long it took to the next picture.

    Counted from when somebody waited for one, without the time of other, total outages.
    """
    times = sorted(arrival.when for arrival in evidence.arrivals)
    outages = [struck for struck in evidence.struck if struck.is_total]
    found = {}
    for struck in evidence.struck:
        came = next((when for when in times if when >= struck.ended), None)
        if came is not None:
            since = min(came, _waited_since(evidence.rows, struck.ended))
            found[struck.what] = came - since - _out(outages, since, came)
    return found


def _waited_since(rows: Iterable[Row], when: float) -> float:
    """Return from when on somebody waited for a picture: then, or when the next was asked for."""
    waiting = (row for row in rows if row.finished is None or row.finished > when)
    return min((max(row.created, when) for row in waiting), default=when)


def _out(outages: Iterable[Struck], since: float, until: float) -> float:
    """Return how much of that time lies within outages, each moment counted once."""
    total, counted = 0.0, since
    for outage in sorted(outages, key=lambda outage: outage.began):
        began, ended = max(outage.began, counted), min(outage.ended, until)
        total += max(0.0, ended - began)
        counted = max(counted, ended)
    return total


def _arrivals(evidence: Evidence) -> dict[str, list[Arrival]]:
    found: dict[str, list[Arrival]] = defaultdict(list)
    for arrival in evidence.arrivals:
        found[arrival.caption].append(arrival)
    return found


def _by_dialog(rows: Iterable[Row]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        found[row.dialog_id].append(row)
    return found


def _ids(rows: Iterable[Row], mark: Mark) -> list[UUID]:
    """Return the requests that may have left that watermark, and the newest that should have."""
    delivered = (row for row in rows if row.state == _DELIVERED)
    newest = sorted(delivered, key=lambda row: row.message_count)[-1:]
    left = [row for row in rows if row.message_count == mark.watermark]
    return [row.id for row in dict.fromkeys([*left, *newest])]


def _offence(crime: Crime, why: str, *requests: object) -> Offence:
    return Offence(crime=crime, why=why, requests=tuple(str(each) for each in requests))
