"""What in a worker's log is a fault of ours."""

import json

from tests.benchmarks.chaos.log_faults import found


def worker_faults(*lines: object) -> list[str]:
    text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    return [worker_fault.what for worker_fault in found("worker-0.1", text)]


def test_a_worker_that_only_waits_has_no_fault() -> None:
    assert worker_faults("04:39:27: Starting worker", {"event": "request waits"}) == []


def test_a_fault_of_ours_is_told_with_its_places() -> None:
    fault = {"event": "a fault of ours", "error": "KeyError", "at": ["a:1 f", "b:2 g"]}

    assert worker_faults(fault) == ["a fault of ours: KeyError at b:2 g < a:1 f"]


def test_a_traceback_in_an_event_is_a_fault() -> None:
    trace = "Traceback (most recent call last):\n  File x\nKeyError: 'x'"

    assert worker_faults({"event": "job failed", "exception": trace}) == [
        "job failed KeyError: 'x'"
    ]


def test_a_task_that_nobody_asked_is_a_fault() -> None:
    assert worker_faults({"event": "Task exception was never retrieved"}) != []


def test_a_chain_of_tracebacks_is_one_fault() -> None:
    chain = ("Traceback (most recent call last):", "  File x", "KeyError: 'x'", "")
    more = ("During handling of it:", "Traceback (most recent call last):", "OSError: y")

    assert worker_faults(*chain, *more) == ["traceback: OSError: y"]


def test_two_tracebacks_with_an_event_between_are_two_faults() -> None:
    trace = ("Traceback (most recent call last):", "KeyError: 'x'")

    assert len(worker_faults(*trace, {"event": "worker ready"}, *trace)) == 2


def test_a_fault_that_arq_tells_is_about_the_request_that_it_names() -> None:
    request_id = "1109943c-93f1-4967-8f6f-251d20925d06"
    line = json.dumps(
        {
            "event": f"! {request_id}:make_image failed",
            "exception": "Traceback (most recent call last)",
        }
    )

    assert [each.request_id for each in found("worker-0.1", [line])] == [request_id]
