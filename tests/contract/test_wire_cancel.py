"""How prompts are taken off a host, and how others are left alone."""

import json
import uuid

from tests.contract.client import Visitor
from tests.contract.graphs import saved
from tests.contract.timing import Pace
from tests.contract.websocket_listener import Ear

# An old server has no such route; its web pages answer in its place.
_NO_ROUTE = {404, 405}


async def test_a_deleted_prompt_leaves_no_event_and_no_history(
    visitor: Visitor, ear: Ear, pace: Pace
) -> None:
    running = await visitor.post(await pace.slow(visitor, ear))
    pending = await visitor.post(saved())
    await ear.hear("executing", running)
    await visitor.expect_pending(pending)

    status, _ = await visitor.send("/queue", {"delete": [pending]})
    told = await ear.hear("status")
    left = await visitor.on_host()
    await visitor.take_off(running)
    following = await visitor.post(saved())
    frames = await ear.overhear_end(following)

    assert status == 200
    assert told.facts["status"]["exec_info"]["queue_remaining"] >= 0
    assert pending not in left
    assert await visitor.entry(pending) is None
    assert pending not in {frame.prompt_id for frame in frames}


async def test_a_running_prompt_cannot_be_deleted(visitor: Visitor, ear: Ear, pace: Pace) -> None:
    running = await visitor.post(await pace.slow(visitor, ear))
    await ear.hear("executing", running)

    status, _ = await visitor.send("/queue", {"delete": [running]})
    await visitor.expect_running(running)
    following = await ear.hear("executing", running)
    assert status == 200
    assert following.facts["node"] is not None


async def test_what_is_not_there_can_be_deleted_and_interrupted(visitor: Visitor) -> None:
    nobody = str(uuid.uuid4())

    deleted, _ = await visitor.send("/queue", {"delete": [nobody]})
    interrupted, _ = await visitor.send("/interrupt", {"prompt_id": nobody})
    assert (deleted, interrupted) == (200, 200)


async def test_an_interrupt_of_a_waiting_prompt_leaves_both_alone(
    visitor: Visitor, ear: Ear, pace: Pace
) -> None:
    running = await visitor.post(await pace.slow(visitor, ear))
    pending = await visitor.post(saved())
    await ear.hear("executing", running)
    await visitor.expect_pending(pending)

    await visitor.send("/interrupt", {"prompt_id": pending})
    # An interrupt is taken before a node: two more have to come.
    nodes = [(await ear.hear("executing", running)).facts["node"] for _ in range(2)]
    left = await visitor.on_host()
    assert None not in nodes
    assert {running, pending} <= left


async def test_an_interrupt_asked_for_until_it_is_heard_ends_a_running_prompt(
    visitor: Visitor, ear: Ear, pace: Pace
) -> None:
    prompt_id = await visitor.post(await pace.slow(visitor, ear))
    await ear.hear("executing", prompt_id)

    await visitor.take_off(prompt_id)
    frames = await ear.hear_end(prompt_id)
    kinds = [frame.kind for frame in frames]
    entry = await visitor.entry(prompt_id)
    if "execution_success" in kinds:
        visitor.host.give_up("the prompt was over before it could be interrupted")
    assert kinds[-2:] == ["execution_interrupted", "executing"]
    assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("error", False)
    assert "execution_interrupted" in dict(entry["status"]["messages"])


async def test_a_running_job_can_be_cancelled_where_there_are_jobs(
    visitor: Visitor, ear: Ear, pace: Pace
) -> None:
    prompt_id = await visitor.post(await pace.slow(visitor, ear))
    await ear.hear("executing", prompt_id)

    status, body = await visitor.send(f"/api/jobs/{prompt_id}/cancel")
    if status in _NO_ROUTE:
        return
    frames = await ear.hear_end(prompt_id)
    if "execution_success" in {frame.kind for frame in frames}:
        visitor.host.give_up("the prompt was over before it could be cancelled")
    assert (status, json.loads(body)) == (200, {"cancelled": True})
    assert "execution_interrupted" in {frame.kind for frame in frames}


async def test_a_waiting_job_can_be_cancelled_where_there_are_jobs(
    visitor: Visitor, ear: Ear, pace: Pace
) -> None:
    running = await visitor.post(await pace.slow(visitor, ear))
    pending = await visitor.post(saved())
    await ear.hear("executing", running)
    await visitor.expect_pending(pending)

    status, body = await visitor.send(f"/api/jobs/{pending}/cancel")
    if status in _NO_ROUTE:
        return
    left = await visitor.on_host()
    assert (status, json.loads(body)) == (200, {"cancelled": True})
    assert pending not in left
    assert await visitor.entry(pending) is None


async def test_a_job_that_is_not_there_is_not_cancelled(visitor: Visitor) -> None:
    status, body = await visitor.send(f"/api/jobs/{uuid.uuid4()}/cancel")

    assert status in {200, *_NO_ROUTE}
    assert status != 200 or json.loads(body) == {"cancelled": False}
