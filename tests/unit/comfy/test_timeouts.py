"""How long a prompt may take, on a clock that the test moves."""

from dataclasses import replace

from imagegen.comfy.errors import DrawingStalled, DrawingTooSlow, HostBusy, LoadingTooSlow
from imagegen.comfy.timeouts import PromptDeadlines, PromptTimeouts
from tests.support.pool_callers import Clock

HOST = "gpu-1"
LIMITS = PromptTimeouts(
    request_s=30, queue_s=600, drawing_s=120, silence_s=90, check_after_s=10, unreachable_s=10
)


def test_while_the_socket_talks_nobody_looks() -> None:
    clock = Clock()
    deadlines = PromptDeadlines(LIMITS, clock)

    for _ in range(20):
        clock.now += 9
        deadlines.event_received()

    assert not deadlines.is_due
    assert deadlines.wakes_at == clock.now + 10


def test_silence_leads_to_a_look_and_then_to_the_next() -> None:
    clock = Clock()
    deadlines = PromptDeadlines(LIMITS, clock)

    clock.now = 10
    assert deadlines.is_due
    deadlines.status_checked()

    assert deadlines.wakes_at == 20


def test_after_a_reconnect_looks_come_every_second_until_the_first_frame() -> None:
    clock = Clock()
    deadlines = PromptDeadlines(LIMITS, clock)

    deadlines.reconnected()
    assert deadlines.wakes_at == 1
    deadlines.status_checked()
    assert deadlines.wakes_at == 1
    deadlines.event_received()

    assert deadlines.wakes_at == 10


def test_a_hint_leads_to_a_look_at_once() -> None:
    clock = Clock()
    deadlines = PromptDeadlines(LIMITS, clock)

    deadlines.end_suspected()

    assert deadlines.wakes_at == 0.2


def test_before_the_start_only_the_queue_limit_counts() -> None:
    clock = Clock()
    deadlines = PromptDeadlines(LIMITS, clock)

    clock.now = 599
    assert deadlines.timeout_error("gpu-1") is None
    clock.now = 600
    error = deadlines.timeout_error("gpu-1")

    assert isinstance(error, HostBusy)
    assert error.sentence == "gpu-1 did not begin within 600 s"
    assert not error.costs_an_attempt


def test_drawing_time_counts_from_the_start_and_not_from_the_post() -> None:
    clock = Clock()
    deadlines = PromptDeadlines(LIMITS, clock)
    clock.now = 500
    deadlines.begun(is_warm=True)

    clock.now = 619
    deadlines.event_received()
    deadlines.begun(is_warm=True)
    assert deadlines.timeout_error("gpu-1") is None
    clock.now = 620
    error = deadlines.timeout_error("gpu-1")

    assert isinstance(error, DrawingTooSlow)
    assert error.costs_an_attempt


def test_a_drawing_that_does_not_move_has_stalled() -> None:
    clock = Clock()
    deadlines = PromptDeadlines(LIMITS, clock)
    deadlines.begun(is_warm=True)
    clock.now = 10
    deadlines.event_received()

    assert deadlines.wakes_at == 20
    clock.now = 100
    error = deadlines.timeout_error("gpu-1")

    assert isinstance(error, DrawingStalled)
    assert error.sentence == "nothing moved on gpu-1 for 90 s"


def test_a_socket_that_says_nothing_while_the_host_draws_may_be_deaf() -> None:
    clock = Clock()
    deadlines = PromptDeadlines(LIMITS, clock)

    clock.now = 50
    assert not deadlines.needs_reconnect  # its prompt waits in the host's queue
    deadlines.begun(is_warm=True)
    clock.now = 60

    assert deadlines.needs_reconnect


def test_a_new_socket_is_given_time_to_be_heard() -> None:
    clock = Clock()
    deadlines = PromptDeadlines(LIMITS, clock)
    deadlines.begun(is_warm=True)
    clock.now = 10
    deadlines.reconnected()

    clock.now = 19
    assert not deadlines.needs_reconnect
    clock.now = 20
    assert deadlines.needs_reconnect


def test_a_load_of_models_has_a_time_of_its_own() -> None:
    clock = Clock()
    deadlines = PromptDeadlines(replace(LIMITS, loading_s=300), clock)

    deadlines.begun(is_warm=False)
    clock.now = 299
    assert deadlines.timeout_error(HOST) is None

    clock.now = 300
    assert isinstance(deadlines.timeout_error(HOST), LoadingTooSlow)


def test_drawing_begins_with_the_first_step_after_a_load() -> None:
    clock = Clock()
    deadlines = PromptDeadlines(LIMITS, clock)
    deadlines.begun(is_warm=False)
    clock.now = 250

    deadlines.sampling_started()

    clock.now = 339
    assert deadlines.timeout_error(HOST) is None
    clock.now = 340
    assert isinstance(deadlines.timeout_error(HOST), DrawingStalled)
