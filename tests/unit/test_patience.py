"""How long a prompt may take, on a clock that the test moves."""

from dataclasses import dataclass

from imagegen.comfy.errors import DrawingTooSlow, HostLost
from imagegen.comfy.patience import Limits, Patience

LIMITS = Limits(request=30, queue=600, drawing=120, silence=90)


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def test_before_the_start_only_the_queue_limit_counts() -> None:
    clock = Clock()
    patience = Patience(LIMITS, clock)

    clock.now += 500
    patience.renew()

    assert patience.ends_at == 1600
    error = patience.error("gpu-1")
    assert isinstance(error, HostLost)
    assert error.sentence == "gpu-1 did not begin within 600 s"


def test_drawing_time_counts_from_the_start_and_not_from_the_post() -> None:
    clock = Clock()
    patience = Patience(LIMITS, clock)
    clock.now = 1500.0
    patience.renew()
    patience.start_drawing()

    clock.now = 1580.0
    patience.renew()

    assert patience.ends_at == 1620
    error = patience.error("gpu-1")
    assert isinstance(error, DrawingTooSlow)
    assert error.costs_an_attempt
    assert error.sentence == "gpu-1 drew for more than 120 s"


def test_silence_while_drawing_ends_earlier() -> None:
    clock = Clock()
    patience = Patience(LIMITS, clock)
    patience.renew()
    patience.start_drawing()

    clock.now = 1010.0
    patience.renew()

    assert patience.ends_at == 1100
    error = patience.error("gpu-1")
    assert isinstance(error, HostLost)
    assert not error.costs_an_attempt
    assert error.sentence == "gpu-1 was silent for 90 s while it drew"


def test_a_host_that_goes_on_talking_is_still_too_slow_in_the_end() -> None:
    clock = Clock()
    patience = Patience(LIMITS, clock)
    patience.start_drawing()

    for _ in range(10):
        clock.now += 50
        patience.renew()

    assert patience.ends_at == 1120
    assert isinstance(patience.error("gpu-1"), DrawingTooSlow)
