"""How the ends of leases change the health of hosts."""

import pytest

from imagegen.comfy.capabilities import HostCapabilities, Requirements
from imagegen.comfy.errors import (
    DrawingFailed,
    DrawingStalled,
    DrawingTooSlow,
    HostBusy,
    HostLacks,
    HostLost,
    ImageMissing,
    NobodyCanDraw,
    OutOfMemory,
    PromptLost,
    PromptRefused,
)
from imagegen.db.tables import HostUse
from imagegen.errors import ImagegenError
from imagegen.pool.health import Condition
from imagegen.pool.host import HostStatus
from imagegen.pool.pool import Pool
from tests.support.pool_callers import Clock, SlotCaller, jobs_of, needs, pool_of, run_ready_tasks

A, B, C = "a:8188", "b:8188", "c:8188"
FAILS = DrawingFailed("node 3 raised")
MAGIC = Requirements(model_set="magic", classes=frozenset({"Magic"}))
PLAIN, MAGICAL = (
    HostCapabilities(classes=frozenset(names), names={}) for names in ({"Plain"}, {"Magic"})
)


async def test_a_host_that_fails_whatever_it_draws_is_put_aside() -> None:
    pool = pool_of(A, B)

    await fail_on(pool, A, "ash", "lina", "may")

    assert of(pool, A).condition is Condition.ASIDE
    assert of(pool, A).why == "node 3 raised"
    assert [job.host for job in await jobs_of(pool, 3)] == [B, B, None]


@pytest.mark.parametrize(
    "error", [FAILS, OutOfMemory("full"), DrawingTooSlow("slow"), DrawingStalled("still")]
)
async def test_each_way_to_fail_a_drawing_counts(error: ImagegenError) -> None:
    pool = pool_of(A, B)

    for _ in range(3):
        await end_on(pool, A, "ash", error)

    assert of(pool, A).condition is Condition.ASIDE


async def test_a_host_that_answers_again_and_is_not_trusted_yet_says_since_when() -> None:
    clock = Clock()
    pool = pool_of(A, B, clock=clock)
    await end_on(pool, A, "ash", HostLost("a:8188 refuses the connection"))
    lost = of(pool, A)
    clock.now += 10
    pool._tracker.record_contact(pool._hosts[A])
    pool._tracker.record_ready(pool._hosts[A])
    clock.now += 30
    again = of(pool, A)
    clock.now += 600
    later = of(pool, A)

    assert lost.why == "a:8188 refuses the connection"
    assert again.condition is Condition.SUSPECT
    assert again.why == (
        "a:8188 has answered again for 30 s, and gets one prompt at a time until it has drawn one; "
        "before that: a:8188 refuses the connection"
    )
    assert str(later.why).startswith("a:8188 has answered again for 10 min, ")


async def test_a_picture_between_two_failures_clears_a_host() -> None:
    pool = pool_of(A, B)

    await fail_on(pool, A, "ash", "lina")
    await end_on(pool, A, "may", None)
    await fail_on(pool, A, "ash", "lina")

    assert of(pool, A).condition is Condition.UP


async def test_a_workflow_that_fails_everywhere_puts_no_host_aside() -> None:
    pool = pool_of(A, B, C)

    for _ in range(5):
        for name in (A, B, C):
            await fail_on(pool, name, "broken")

    assert {status.condition for status in pool.status()} == {Condition.UP}


async def test_workflows_that_are_all_broken_put_no_host_aside() -> None:
    pool = pool_of(A, B)

    for model_set in ("ash", "lina", "may", "una", "julie"):
        await fail_on(pool, A, model_set)
        await fail_on(pool, B, model_set)

    assert {status.condition for status in pool.status()} == {Condition.UP}


async def test_a_workflow_that_others_draw_well_speaks_against_the_host_that_fails_it() -> None:
    pool = pool_of(A, B)

    for _ in range(3):
        await fail_on(pool, A, "ash")
        await end_on(pool, B, "ash", None)

    assert of(pool, A).condition is Condition.ASIDE


async def test_the_last_host_is_not_put_aside() -> None:
    pool = pool_of(A)

    await fail_on(pool, A, "ash", "lina", "may", "una")

    assert of(pool, A).condition is Condition.UP


async def test_the_only_host_that_can_draw_something_is_not_put_aside_by_it() -> None:
    pool = pool_of(A, B)
    set_capabilities(pool, A, MAGICAL)
    set_capabilities(pool, B, PLAIN)

    for _ in range(4):
        await end_on(pool, A, MAGIC, FAILS)

    assert of(pool, A).condition is Condition.UP


async def test_a_host_put_aside_gets_one_prompt_after_its_rest_and_is_up_if_that_goes_well() -> (
    None
):
    pool = pool_of(A, B)
    await fail_on(pool, A, "ash", "lina", "may")
    probed(pool, A)

    first, second, third, fourth = await jobs_of(pool, 4)
    await third.end()

    assert [first.host, second.host, third.host] == [B, B, A]
    assert fourth.host == A
    assert of(pool, A).condition is Condition.UP


async def test_a_host_put_aside_that_fails_its_trial_rests_again() -> None:
    pool = pool_of(A, B)
    await fail_on(pool, A, "ash", "lina", "may")
    probed(pool, A)

    await end_on(pool, A, "una", FAILS)

    assert of(pool, A).condition is Condition.ASIDE
    assert [job.host for job in await jobs_of(pool, 3)] == [B, B, None]


@pytest.mark.parametrize(
    "error",
    [PromptLost("gone"), HostBusy("queue"), PromptRefused("no"), ImageMissing("none"), None],
)
async def test_a_host_that_answers_its_trial_has_all_its_slots_again(
    error: ImagegenError | None,
) -> None:
    pool = pool_of(A)
    await end_on(pool, A, "ash", HostLost("away"))
    probed(pool, A)

    trial, waits = await jobs_of(pool, 2)
    assert (trial.host, waits.host) == (A, None)
    await trial.end(error)

    assert [job.host for job in [waits, *await jobs_of(pool, 1)]] == [A, A]


async def test_what_is_no_word_of_the_host_teaches_nothing() -> None:
    pool = pool_of(A)
    await end_on(pool, A, "ash", HostLost("away"))
    probed(pool, A)

    await end_on(pool, A, "ash", ImagegenError("a fault of ours"))

    assert of(pool, A).condition is Condition.SUSPECT


async def test_a_cancelled_lease_teaches_nothing() -> None:
    pool = pool_of(A)
    await end_on(pool, A, "ash", HostLost("away"))
    probed(pool, A)
    [job] = await jobs_of(pool, 1)

    await job.cancel()

    assert of(pool, A).condition is Condition.SUSPECT


async def test_a_dead_host_costs_one_failed_draw_for_each_slot_and_no_more() -> None:
    pool = pool_of(A)
    jobs = await jobs_of(pool, 10)

    for job in jobs[:2]:
        await job.end(HostLost("away"))

    assert [job.host for job in jobs[2:]] == [None] * 8
    assert (of(pool, A).condition, pool.waiting) == (Condition.SUSPECT, 8)


async def test_a_host_that_says_it_lacks_something_is_passed_over_for_that_alone() -> None:
    pool = pool_of(A, B)

    await end_on(pool, A, MAGIC, HostLacks("no Magic", code="node_missing"))

    assert await host_for(pool, MAGIC) == B
    assert await host_for(pool, needs("ash")) == A
    assert [missing.sentence for missing in pool.missing(MAGIC)[A]] == ["no Magic"]


async def test_what_every_host_refuses_ends_at_once_with_what_they_said() -> None:
    pool = pool_of(A, B)

    for name in (A, B):
        await end_on(pool, name, MAGIC, HostLacks("no Magic", code="node_missing"))

    with pytest.raises(NobodyCanDraw, match=r"a:8188, b:8188: no Magic") as caught:
        await host_for(pool, MAGIC)
    assert caught.value.code == "node_missing"


async def test_a_refusal_that_is_older_than_a_request_is_asked_for_again_before_it_ends_it() -> (
    None
):
    clock = Clock()
    pool = pool_of(A, clock=clock)
    await end_on(pool, A, MAGIC, HostLacks("no Magic"))
    clock.now += 10

    with pytest.raises(NobodyCanDraw):
        async with pool.lease(MAGIC, age_s=11):
            pass
    async with pool.lease(MAGIC, age_s=9) as lease:
        assert lease.host.name == A


async def test_what_was_missing_when_a_request_came_is_asked_for_again_before_it_ends_it() -> None:
    clock = Clock()
    pool = pool_of(A, clock=clock)
    set_capabilities(pool, A, PLAIN)
    clock.now += 10

    job = SlotCaller(pool, wants=MAGIC).start()
    await run_ready_tasks()
    assert job.host is None
    assert pool._hosts[A].check_requested.is_set()
    set_capabilities(pool, A, MAGICAL)
    await run_ready_tasks()

    assert job.host == A


async def test_a_refusal_holds_until_the_capabilities_are_others_or_minutes_have_passed() -> None:
    clock = Clock()
    pool = pool_of(A, B, clock=clock)
    set_capabilities(pool, A, MAGICAL)
    await end_on(pool, A, MAGIC, HostLacks("no Magic"))

    set_capabilities(pool, A, HostCapabilities(classes=frozenset({"Magic"}), names={}))
    assert A in pool.missing(MAGIC)
    assert pool.missing(MAGIC)[A] != ()

    set_capabilities(pool, A, HostCapabilities(classes=frozenset({"Magic", "More"}), names={}))
    assert pool.missing(MAGIC)[A] == ()
    await end_on(pool, A, MAGIC, HostLacks("no Magic"))

    clock.now += 400
    set_capabilities(pool, A, HostCapabilities(classes=frozenset({"Magic", "More"}), names={}))
    assert pool.missing(MAGIC)[A] == ()


async def test_a_waiter_is_sent_away_when_the_last_host_that_might_have_drawn_cannot() -> None:
    pool = pool_of(A, B)
    set_capabilities(pool, A, PLAIN)
    await end_on(pool, B, "ash", HostLost("away"))
    job = SlotCaller(pool, wants=MAGIC).start()
    await run_ready_tasks()
    assert not job.task.done()

    set_capabilities(pool, B, PLAIN)
    await run_ready_tasks()

    assert isinstance(job.task.exception(), NobodyCanDraw)
    assert pool.waiting == 0


async def test_a_waiter_that_no_free_host_suits_blocks_nobody() -> None:
    pool = pool_of(A, B, slots=1)
    set_capabilities(pool, A, PLAIN)
    set_capabilities(pool, B, MAGICAL)
    jobs = [SlotCaller(pool, wants=MAGIC).start(), SlotCaller(pool, wants=MAGIC).start()]
    await run_ready_tasks()

    [other] = await jobs_of(pool, 1)

    assert [job.host for job in [*jobs, other]] == [B, None, A]


async def test_the_status_says_how_each_host_stands() -> None:
    pool = pool_of(A, B)
    set_capabilities(pool, B, PLAIN)
    [job] = await jobs_of(pool, 1)
    job.seconds = 4.0
    await job.end()
    await end_on(pool, B, "ash", HostLost("b is away"))
    await jobs_of(pool, 3, "lina", "lina", "lina")

    assert pool.status() == (
        HostStatus(
            name=A,
            address="http://a:8188",
            use=HostUse.ACTIVE,
            condition=Condition.UP,
            is_silent=False,
            slots=2,
            taken=2,
            waiting=1,
            model_set="lina",
            seconds=4.0,
            has_capabilities=False,
            why=None,
            loaded="ash",
            idle_s=0.0,
        ),
        HostStatus(
            name=B,
            address="http://b:8188",
            use=HostUse.ACTIVE,
            condition=Condition.SUSPECT,
            is_silent=True,
            slots=2,
            taken=0,
            waiting=1,
            model_set="ash",
            seconds=None,
            has_capabilities=True,
            why="b is away",
            idle_s=0.0,
        ),
    )


async def test_a_pool_gives_the_client_of_a_host_that_it_has() -> None:
    pool = pool_of(A)

    client = pool.client(A)

    assert client is not None
    assert client.name == A
    assert pool.client("gone:8188") is None


async def fail_on(pool: Pool, name: str, *model_sets: str) -> None:
    for model_set in model_sets:
        await end_on(pool, name, model_set, FAILS)


async def end_on(
    pool: Pool, name: str, wanted: str | Requirements, error: Exception | None
) -> None:
    """Let this host draw and the lease end with this error; other hosts are kept busy meanwhile."""
    requirements = needs(wanted) if isinstance(wanted, str) else wanted
    blocked = []
    while True:
        job = SlotCaller(pool, wants=requirements).start()
        await run_ready_tasks()
        if job.host == name:
            break
        assert job.host is not None, f"{name} has no slot"
        blocked.append(job)
    await job.end(error)
    for other in blocked:
        await other.cancel()


async def host_for(pool: Pool, wants: Requirements) -> str:
    async with pool.lease(wants) as lease:
        return lease.host.name


def of(pool: Pool, name: str) -> HostStatus:
    return next(status for status in pool.status() if status.name == name)


def probed(pool: Pool, name: str) -> None:
    """Let a host answer a probe."""
    pool._tracker.record_ready(pool._hosts[name])
    pool._scheduler.assign()


def set_capabilities(pool: Pool, name: str, capabilities: HostCapabilities) -> None:
    """Let a host's capabilities be read."""
    pool._hosts[name].set_capabilities(capabilities, now=pool._clock())
    pool._scheduler.assign()
