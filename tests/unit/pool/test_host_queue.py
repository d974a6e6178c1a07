"""The prompts on one host, ours and those of others."""

from imagegen.pool.host_queue import HostQueue, QueuedPrompt

OURS_S, THEIRS_S = 4.0, 10.0


def ours() -> QueuedPrompt:
    return QueuedPrompt(is_model_change=False, expected_s=OURS_S)


def queue_of(others: int, *prompts: QueuedPrompt, now: float = 100.0) -> HostQueue:
    queue = HostQueue()
    for prompt in prompts:
        queue.add(prompt, now=now)
    queue.note_length(others + len(prompts), now=now)
    return queue


def test_prompts_of_others_count() -> None:
    assert queue_of(3).remaining_s(100.0, other_s=THEIRS_S) == 3 * THEIRS_S
    assert queue_of(3, ours()).remaining_s(100.0, other_s=THEIRS_S) == 3 * THEIRS_S + OURS_S


def test_how_long_others_take_may_be_unknown() -> None:
    assert queue_of(1).remaining_s(100.0) == float("inf")


def test_a_host_that_tells_of_fewer_prompts_than_we_gave_it_has_none_of_others() -> None:
    queue = HostQueue()
    queue.add(ours(), now=100.0)

    queue.note_length(0, now=100.0)

    assert queue.others == 0


def test_a_prompt_of_others_that_ends_makes_the_next_one_begin() -> None:
    queue = queue_of(2)

    queue.note_length(1, now=108.0)

    assert queue.remaining_s(109.0, other_s=THEIRS_S) == THEIRS_S - 1.0


def test_a_prompt_that_others_add_does_not_make_the_first_one_begin_again() -> None:
    queue = queue_of(1)

    queue.note_length(2, now=106.0)

    assert queue.remaining_s(106.0, other_s=THEIRS_S) == 2 * THEIRS_S - 6.0


def test_our_prompt_that_waits_behind_others_is_not_late() -> None:
    prompt = ours()
    queue = queue_of(1, prompt)

    assert queue.remaining_s(109.0, other_s=THEIRS_S) == 1.0 + OURS_S


def test_our_prompt_that_has_begun_is_drawn_before_those_of_others() -> None:
    prompt = ours()
    queue = queue_of(1, prompt)

    queue.begin(prompt, now=110.0)

    assert queue.remaining_s(113.0, other_s=THEIRS_S) == 1.0 + THEIRS_S


def test_a_prompt_waits_as_long_as_those_before_it_take() -> None:
    queue = queue_of(20, ours())

    assert queue.wait_s(0, 101.0, other_s=THEIRS_S) == 0.0
    assert queue.wait_s(2, 101.0, other_s=THEIRS_S) == 9.0 + THEIRS_S
    assert queue.wait_s(2, 101.0, other_s=None) == float("inf")


def test_a_queue_takes_as_long_as_its_prompts_less_what_is_drawn() -> None:
    queue, first = HostQueue(), QueuedPrompt(is_model_change=False, expected_s=4.0)
    second = QueuedPrompt(is_model_change=True, expected_s=6.0)
    queue.add(first, now=100.0)
    queue.add(second, now=101.0)

    assert queue.remaining_s(103.0) == 1.0 + 6.0
    queue.remove(first, now=104.0)
    assert queue.remaining_s(105.0) == 5.0
    queue.remove(second, now=110.0)
    assert (queue.remaining_s(111.0), len(queue)) == (0.0, 0)


def test_what_is_late_is_expected_later_and_later() -> None:
    queue = HostQueue()
    queue.add(QueuedPrompt(is_model_change=False, expected_s=4.0), now=100.0)

    assert queue.remaining_s(104.0) < queue.remaining_s(106.0) < queue.remaining_s(110.0)


def test_a_queue_of_unknown_length_is_endless() -> None:
    queue = HostQueue()
    queue.add(QueuedPrompt(is_model_change=True, expected_s=None), now=0.0)

    assert queue.remaining_s(1.0) == float("inf")
