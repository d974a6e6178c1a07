"""Work that begins before its result is needed ends with its picture, and fails for nobody."""

import asyncio

import pytest
from structlog.testing import capture_logs

from imagegen.errors import Unavailable
from imagegen.pipeline.early_task import EarlyTask

SECRET = "what somebody wrote in a chat"


async def failing(error: Exception) -> None:
    raise error


async def test_what_went_wrong_and_was_not_needed_is_logged_by_its_name_alone() -> None:
    early = EarlyTask[None](name="preparation")
    early.begin(failing(ValueError(SECRET)))
    await asyncio.sleep(0)

    with capture_logs() as log:
        await early.end()
        await asyncio.sleep(0)

    assert log == [
        {
            "event": "early work failed",
            "task": "preparation",
            "error": "ValueError",
            "log_level": "error",
        }
    ]


async def test_what_was_told_to_the_caller_is_not_logged_once_more() -> None:
    early = EarlyTask[None](name="preparation")
    early.begin(failing(ValueError(SECRET)))

    with capture_logs() as log:
        with pytest.raises(ValueError, match=SECRET):
            await early.result()
        await early.end()
        await asyncio.sleep(0)

    assert log == []


@pytest.mark.parametrize("is_asked", [False, True])
async def test_an_error_of_ours_is_for_who_does_the_work_again(*, is_asked: bool) -> None:
    early = EarlyTask[None](name="preparation")
    early.begin(failing(Unavailable("the database is away", code="database_unavailable")))
    await asyncio.sleep(0)

    with capture_logs() as log:
        if is_asked:
            await early.result()
        await early.end()
        await asyncio.sleep(0)

    assert log == []


async def test_work_that_swallows_its_cancellation_holds_nobody_up() -> None:
    is_over = asyncio.Event()

    async def stubborn() -> None:
        while not is_over.is_set():
            try:
                await is_over.wait()
            except asyncio.CancelledError:
                continue

    early = EarlyTask[None](name="preparation", end_within_s=0.01)
    early.begin(stubborn())
    await asyncio.sleep(0)

    await early.end()

    assert not is_over.is_set()
    is_over.set()
