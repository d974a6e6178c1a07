"""The verdict on a run of chaos finds each kind of violation, and nothing else."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid5

import pytest

from imagegen.sandbox.comfyui.usage import DoubleDrawing
from tests.benchmarks.chaos.evidence import (
    ChaosArrival,
    DialogRow,
    Evidence,
    InjectedFault,
    Row,
    Send,
    WorkerFault,
)
from tests.benchmarks.chaos.fault import ChaosFaultKind
from tests.benchmarks.chaos.schedule import FAULTS
from tests.benchmarks.chaos.verdict import ENDED_BY_HOST, Verdict, judge
from tests.benchmarks.chaos.violation import ViolationKind


def uid(number: int) -> UUID:
    return uuid5(UUID(int=0), str(number))


def row(number: int = 1, **changes: Any) -> Row:
    """Make request `number` of dialog 1, delivered at its message `4 * number`."""
    usual: dict[str, Any] = {
        "id": uid(number),
        "dialog_id": 1,
        "message_count": 4 * number,
        "caption": f"1/{number}",
        "state": "delivered",
        "error_code": None,
        "error_sentence": None,
        "attempts": 0,
        "draw": 1,
        "host": "gpu",
        "telegram_message_id": number,
        "created": 10.0 * number,
        "finished": 10.0 * number + 2,
    }
    return Row(**usual | changes)


def failed(number: int = 1, code: str | None = "out_of_memory", **changes: Any) -> Row:
    usual: dict[str, Any] = {
        "state": "failed",
        "error_code": code,
        "error_sentence": code and "It could not be drawn.",
        "telegram_message_id": None,
    }
    return row(number, **usual | changes)


def arrival(number: int = 1, **changes: Any) -> ChaosArrival:
    usual: dict[str, Any] = {
        "caption": f"1/{number}",
        "message_id": number,
        "when": 10.0 * number + 2,
    }
    return ChaosArrival(**usual | changes)


def send(number: int, attempt: int, outcome: str, **times: float) -> Send:
    usual = {"started": 10.0, "finished": 10.0}
    return Send(request_id=uid(number), attempt=attempt, outcome=outcome, **usual | times)


def double(number: int = 1, *, avoidable: bool = True) -> DoubleDrawing:
    return DoubleDrawing(
        picture=str(uid(number)),
        prompt_ids=("a", "b"),
        hosts=("gpu-1", "gpu-2"),
        gpu_seconds=1.0,
        avoidable=avoidable,
    )


def of_a_host(detail: str) -> InjectedFault:
    return InjectedFault(
        kind=ChaosFaultKind.HOST_FAULTY,
        what=f"0.5 s: host faulty 1 {detail} for 0.0 s",
        began=0.5,
        ended=0.5,
    )


def judged(rows: Sequence[Row] = (row(),), watermark: int | None = 4, **changes: Any) -> Verdict:
    """Judge a run in which one dialog got one picture, but for the changes."""
    usual: dict[str, Any] = {
        "committed": {each.id: each.caption for each in rows},
        "rows": rows,
        "sends": (),
        "arrivals": (arrival(),),
        "dialogs": (DialogRow(dialog_id=1, message_count=20, watermark=watermark),),
        "doubles": (),
        "injected": (of_a_host("out-of-memory"),),
        "worker_faults": (),
        "last_requests": {},
    }
    return judge(Evidence(**usual | changes), minimum=3)


def kinds(verdict: Verdict) -> list[ViolationKind]:
    return [violation.kind for violation in verdict.violations]


def test_a_run_in_which_all_went_well_is_good() -> None:
    verdict = judged()

    assert verdict.is_good
    assert (verdict.requests, verdict.delivered, verdict.slowest_s) == (1, 1, 2.0)


def test_a_request_that_ended_with_a_reason_is_told_by_reason() -> None:
    verdict = judged([failed()], None, arrivals=())

    assert verdict.is_good
    assert verdict.ended == {"failed/out_of_memory": 1}


def test_a_request_without_a_row_is_lost() -> None:
    verdict = judged(committed={uid(1): "1/1", uid(2): "1/2"})

    assert kinds(verdict) == [ViolationKind.LOST]
    assert verdict.requests == 2
    assert verdict.violations[0].requests == (str(uid(2)),)


def test_a_request_that_never_ended_is_lost() -> None:
    rows = [row(), row(2, state="drawn", telegram_message_id=None, finished=None)]

    assert kinds(judged(rows)) == [ViolationKind.LOST]


def test_a_request_that_ended_without_a_reason_is_lost() -> None:
    assert kinds(judged([failed(code=None)], None, arrivals=())) == [ViolationKind.LOST]


def test_a_picture_that_is_called_delivered_and_is_in_no_chat_is_lost() -> None:
    assert kinds(judged(arrivals=())) == [ViolationKind.LOST]


def test_a_picture_sent_twice_is_a_violation() -> None:
    verdict = judged(arrivals=(arrival(), arrival(message_id=9)))

    assert kinds(verdict) == [ViolationKind.SENT_TWICE]
    assert (verdict.sent_twice, verdict.sent_twice_after_unknown) == (1, 0)


def test_a_picture_sent_twice_after_an_unknown_send_is_told() -> None:
    verdict = judged(
        arrivals=(arrival(), arrival(message_id=9)),
        sends=(send(1, 1, "unknown"), send(1, 2, "sent")),
    )

    assert verdict.is_good
    assert (verdict.sent_twice, verdict.sent_twice_after_unknown) == (1, 1)


def test_a_picture_sent_again_before_the_first_send_could_be_written_down_is_told() -> None:
    verdict = judged(
        arrivals=(arrival(), arrival(message_id=9)),
        sends=(send(1, 1, "sent", finished=20.0), send(1, 2, "sent", started=15.0)),
    )

    assert (verdict.is_good, verdict.sent_twice_after_unknown) == (True, 1)


def test_a_picture_sent_again_after_the_first_send_was_written_down_is_a_violation() -> None:
    verdict = judged(
        arrivals=(arrival(), arrival(message_id=9)),
        sends=(send(1, 1, "sent", finished=14.0), send(1, 2, "sent", started=15.0)),
    )

    assert kinds(verdict) == [ViolationKind.SENT_TWICE]


def test_one_unknown_send_excuses_no_third_picture() -> None:
    verdict = judged(
        arrivals=(arrival(), arrival(message_id=8), arrival(message_id=9)),
        sends=(send(1, 1, "unknown"), send(1, 2, "sent")),
    )

    assert kinds(verdict) == [ViolationKind.SENT_TWICE]


def test_an_unknown_send_of_another_request_is_no_excuse() -> None:
    verdict = judged(arrivals=(arrival(), arrival(message_id=9)), sends=(send(2, 1, "unknown"),))

    assert kinds(verdict) == [ViolationKind.SENT_TWICE]


def test_a_picture_drawn_twice_on_hosts_that_answered_is_a_violation() -> None:
    verdict = judged(doubles=(double(),))

    assert kinds(verdict) == [ViolationKind.DRAWN_TWICE]
    assert (verdict.drawn_twice, verdict.drawn_twice_excused) == (1, 0)


def test_a_picture_drawn_twice_since_its_host_was_gone_is_told() -> None:
    verdict = judged(doubles=(double(avoidable=False),))

    assert verdict.is_good
    assert (verdict.drawn_twice, verdict.drawn_twice_excused) == (1, 1)


def test_a_picture_in_the_chat_of_a_request_that_failed_is_a_violation() -> None:
    assert kinds(judged([failed()], None)) == [ViolationKind.CONTRADICTED]


def test_a_request_that_says_it_does_not_know_may_be_in_the_chat_or_not() -> None:
    unsure = [failed(code="delivery_unknown")]

    assert judged(unsure).is_good
    assert judged(unsure, arrivals=()).is_good


def test_a_delivered_request_that_names_another_message_is_a_violation() -> None:
    assert kinds(judged([row(telegram_message_id=77)])) == [ViolationKind.CONTRADICTED]


def test_a_picture_that_nobody_asked_for_is_a_violation() -> None:
    assert kinds(judged(arrivals=(arrival(), arrival(2)))) == [ViolationKind.CONTRADICTED]


def test_a_watermark_that_did_not_move_is_a_violation() -> None:
    verdict = judged(watermark=None)

    assert kinds(verdict) == [ViolationKind.WATERMARK]
    assert verdict.violations[0].requests == (str(uid(1)),)


def test_a_watermark_that_moved_back_is_a_violation() -> None:
    arrivals = (arrival(), arrival(2))

    assert kinds(judged([row(), row(2)], 4, arrivals=arrivals)) == [ViolationKind.WATERMARK]


def test_a_watermark_moved_by_a_failure_is_a_violation() -> None:
    assert kinds(judged([row(), failed(2)], 8)) == [ViolationKind.WATERMARK]


def test_a_picture_that_may_have_arrived_may_move_the_watermark_or_not() -> None:
    rows = [row(), failed(2, code="delivery_unknown")]

    assert judged(rows, 4).is_good
    assert judged(rows, 8).is_good
    assert kinds(judged(rows, 6)) == [ViolationKind.WATERMARK]


def test_two_pictures_too_close_are_a_violation() -> None:
    rows = [row(), row(2, message_count=6)]

    verdict = judged(rows, 6, arrivals=(arrival(), arrival(2)))

    assert kinds(verdict) == [ViolationKind.SPACING]
    assert verdict.violations[0].requests == (str(uid(1)), str(uid(2)))


def test_two_pictures_at_the_least_distance_are_fine() -> None:
    rows = [row(), row(2, message_count=7)]

    assert judged(rows, 7, arrivals=(arrival(), arrival(2))).is_good


def test_pictures_of_two_dialogs_may_come_at_the_same_count() -> None:
    dialogs = [DialogRow(dialog_id=number, message_count=9, watermark=4) for number in (1, 2)]
    rows = [row(), row(2, dialog_id=2, message_count=4)]

    assert judged(rows, arrivals=(arrival(), arrival(2)), dialogs=dialogs).is_good


@pytest.mark.parametrize(
    "code",
    [
        *("internal", "database_refused", "poison", "telegram_refused", "no_rights"),
        *("model_missing", "too_old", "rejected", "a_code_of_next_year"),
    ],
)
def test_an_end_that_no_fault_of_the_run_explains_is_a_violation(code: str) -> None:
    assert kinds(judged([failed(code=code)], None, arrivals=())) == [ViolationKind.OUR_FAULT]


@pytest.mark.parametrize(
    ("code", "detail"),
    [
        ("out_of_memory", "out-of-memory"),
        ("drawing_stalled", "stall"),
        ("generation_timeout", "stall"),
        ("picture_broken", "broken-view:how=cut"),
    ],
)
def test_the_fault_of_a_host_explains_only_its_own_end(code: str, detail: str) -> None:
    rows = [failed(code=code)]

    assert judged(rows, None, arrivals=(), injected=(of_a_host(detail),)).is_good
    assert kinds(judged(rows, None, arrivals=(), injected=(of_a_host("deleted"),))) == [
        ViolationKind.OUR_FAULT
    ]


def test_each_fault_of_a_host_that_may_end_a_request_is_one_that_is_injected() -> None:
    assert all(any(each in fault for fault in FAULTS) for each in ENDED_BY_HOST)


def test_a_fault_of_ours_is_a_violation() -> None:
    worker_fault = WorkerFault(worker="worker-0.1", what="a fault of ours: KeyError")

    assert kinds(judged(worker_faults=(worker_fault,))) == [ViolationKind.OUR_FAULT]


def test_a_request_that_failed_inside_is_a_violation() -> None:
    assert kinds(judged([failed(code="internal")], None, arrivals=())) == [ViolationKind.OUR_FAULT]


def test_a_dialog_in_which_no_picture_became_due_after_all_faults_is_a_violation() -> None:
    verdict = judged(last_requests={1: uid(1), 2: None})

    assert kinds(verdict) == [ViolationKind.NOT_RECOVERED]
    assert "dialog 2" in verdict.violations[0].why


def test_a_request_that_failed_after_all_faults_is_a_violation() -> None:
    verdict = judged([failed()], None, arrivals=(), last_requests={1: uid(1)})

    assert kinds(verdict) == [ViolationKind.NOT_RECOVERED]
    assert verdict.violations[0].requests == (str(uid(1)),)


def test_a_request_that_failed_while_something_was_broken_is_none() -> None:
    rows = [failed(), row(2)]

    assert judged(rows, 8, arrivals=(arrival(2),), last_requests={1: uid(2)}).is_good


def test_recovery_is_from_the_end_of_a_fault_to_the_next_picture() -> None:
    fault = InjectedFault(kind="a kind", what="while it is drawn", began=8, ended=11)

    assert judged(injected=(fault,)).recoveries == {"while it is drawn": 1.0}


def test_recovery_is_not_the_time_in_which_nobody_asked() -> None:
    fault = InjectedFault(kind="a kind", what="before all", began=2, ended=3)

    assert judged(injected=(fault,)).recoveries == {"before all": 2.0}


def test_recovery_is_without_the_time_of_other_outages() -> None:
    outages = [
        InjectedFault(kind="a kind", what="redis", began=10.5, ended=11.5, is_total=True),
        InjectedFault(kind="a kind", what="telegram", began=11, ended=11.7, is_total=True),
    ]

    recoveries = judged(
        injected=(InjectedFault(kind="a kind", what="a host", began=9, ended=10), *outages)
    ).recoveries

    assert recoveries["a host"] == pytest.approx(2 - 1.2)


def test_a_fault_after_the_last_picture_has_no_recovery() -> None:
    fault = InjectedFault(kind="a kind", what="after all", began=12.5, ended=13)

    assert judged(injected=(fault,)).recoveries == {}
