"""InMemoryHook: the interface of the real hook, and what only the stand-in can do.

That both answer the same is tested in tests/integration/hook/test_in_memory_hook.py.
"""

import asyncio
import inspect
import re
import subprocess
import sys
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from chatflow_hook import ChatFlowHook, Limited, Request
from chatflow_hook.testing import InMemoryHook, RecordedRequest
from tests.support.conversations import turn

PAGE = (Path(__file__).parents[3] / "docs" / "testing-your-bot.md").read_text()
A_TESTS_OWN = {"fail", "finish", "learn_to_be_a_minor", "requests"}
NOWHERE = Request(id=uuid4(), dialog_id=1, message_count=3)


def methods(kind: type[Any]) -> dict[str, tuple[str, bool]]:
    """Give the signature of each public method of the class itself, and whether it is awaited."""
    return {
        name: (str(inspect.signature(member)), inspect.iscoroutinefunction(member))
        for name in vars(kind)
        if not name.startswith("_") and callable(member := getattr(kind, name))
    }


async def asked(hook: InMemoryHook, **changes: Any) -> Request:
    request = await hook.ask(turn(**changes))
    assert isinstance(request, Request)
    return request


def test_each_method_of_the_real_hook_is_overridden_with_the_same_signature() -> None:
    stand_in = methods(InMemoryHook)

    assert {name: stand_in.get(name) for name in methods(ChatFlowHook)} == methods(ChatFlowHook)


def test_beside_them_it_has_only_what_a_test_needs() -> None:
    public = {name for name in vars(InMemoryHook) if not name.startswith("_")}

    assert public - methods(ChatFlowHook).keys() == A_TESTS_OWN


def test_it_imports_nothing_beyond_the_hook_and_the_hook_does_not_import_it() -> None:
    program = (
        "import sys, chatflow_hook\n"
        "before = set(sys.modules)\n"
        "import chatflow_hook.testing\n"
        "print(*sorted(set(sys.modules) - before))"
    )

    loaded = subprocess.check_output([sys.executable, "-c", program], text=True)

    assert loaded.split() == ["chatflow_hook.testing"]


async def test_from_env_reads_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_TRIGGER_MIN", "not a number")

    async with InMemoryHook.from_env() as hook:
        answers = [await hook.on_turn(turn()) for _ in range(5)]

    assert any(answers)


async def test_each_stand_in_draws_the_same_distances() -> None:
    hooks = [InMemoryHook() for _ in range(2)]

    first, second = [
        [(await hook.on_turn(turn(number))) is not None for number in range(40) for _ in range(5)]
        for hook in hooks
    ]

    assert first == second


async def test_what_was_asked_for_is_recorded() -> None:
    hook = InMemoryHook(covers={"lina": 1})
    start, ask = turn(text=""), turn(text="show me the beach")
    await hook.on_dialog_start(start)
    await hook.ask(ask)

    cover, asked = hook.requests

    assert (cover.kind, cover.turn, cover.cover, cover.picture.state) == (
        "cover",
        start,
        0,
        "drawn",
    )
    assert (asked.kind, asked.turn, asked.cover) == ("asked", ask, None)
    assert asked.picture.state == "queued"
    assert cover.is_enqueued
    assert asked.is_enqueued


async def test_finish_says_what_the_picture_is() -> None:
    hook = InMemoryHook()
    request = await asked(hook)

    hook.finish(request, url="https://pictures.example/1.png", seed=7, telegram_message_id=55)

    picture = await hook.wait(request, timeout=0)
    assert (picture.state, picture.url) == ("delivered", "https://pictures.example/1.png")
    assert (picture.seed, picture.telegram_message_id) == (7, 55)
    assert hook.requests[0].picture == picture


async def test_photos_in_chats_are_numbered_and_others_are_not() -> None:
    hook = InMemoryHook()
    requests = [
        await asked(hook, dialog_id=number, chat_id=chat_id)
        for number, chat_id in enumerate((1, None, 1))
    ]

    for request in requests:
        hook.finish(request)

    numbers = [recorded.picture.telegram_message_id for recorded in hook.requests]
    assert numbers == [1, None, 2]


async def test_who_waits_is_woken_by_the_end_and_by_being_forgotten() -> None:
    hook = InMemoryHook()
    ended, erased = await asked(hook), await asked(hook, dialog_id=2)
    waits = [asyncio.create_task(hook.wait(each, timeout=60)) for each in (ended, erased)]
    await asyncio.wait(waits, timeout=0)

    hook.fail(ended, error_code="generation_timeout", message="It took too long.")
    await hook.forget_user(1002)

    picture = await waits[0]
    assert (picture.state, picture.error_code) == ("failed", "generation_timeout")
    with pytest.raises(LookupError):
        await waits[1]


async def test_a_request_ends_once() -> None:
    hook = InMemoryHook()
    request = await asked(hook)
    hook.finish(request)

    with pytest.raises(ValueError, match="delivered"):
        hook.finish(request)
    with pytest.raises(ValueError, match="delivered"):
        hook.fail(request, error_code="generation_timeout")


def test_a_request_that_is_not_there_cannot_end() -> None:
    with pytest.raises(LookupError):
        InMemoryHook().finish(NOWHERE)
    with pytest.raises(LookupError):
        InMemoryHook().fail(NOWHERE, error_code="generation_timeout")


async def test_the_limits_go_by_the_clock_of_the_test() -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    hook = InMemoryHook(asked_images_per_minute=1, clock=lambda: now)
    await asked(hook)

    limited = await hook.ask(turn(dialog_id=2, user_id=1001))
    now += timedelta(minutes=1)

    assert limited == Limited(free_at=now)
    await asked(hook, dialog_id=2, user_id=1001)


async def test_the_database_can_go_down_and_come_back() -> None:
    hook = InMemoryHook(image_trigger_min=1, image_trigger_max=1)

    hook.is_database_down = True
    without = await hook.on_turn(turn())
    hook.is_database_down = False

    assert without is None
    assert await hook.on_turn(turn()) is not None


async def test_a_test_sees_that_the_bot_closed_its_hook() -> None:
    async with InMemoryHook() as hook:
        assert not hook.is_closed

    assert hook.is_closed


def rows(first: str) -> dict[str, str]:
    """Give the first two cells of each row of the page's table that begins with `first`."""
    _, _, table = PAGE.partition(f"| {first} |")
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", table.partition("\n\n")[0], re.MULTILINE))


def test_the_page_has_every_argument_with_its_default() -> None:
    arguments = inspect.signature(InMemoryHook).parameters
    told = rows("argument")

    assert list(told) == list(arguments)
    numbers = {name: told[name] for name in told if isinstance(arguments[name].default, int)}
    assert numbers == {name: f"`{arguments[name].default}`" for name in numbers}
    assert len(numbers) == 4


def test_the_page_has_everything_that_only_a_test_needs() -> None:
    states = {name for name in vars(InMemoryHook()) if not name.startswith("_")}

    assert set(rows("name")) == A_TESTS_OWN | states


def test_the_page_has_every_field_of_a_recorded_request() -> None:
    assert list(rows("field")) == [field.name for field in fields(RecordedRequest)]


async def test_who_is_taken_for_a_minor_cannot_confirm_for_thirty_days_nor_by_being_forgotten() -> (
    None
):
    now = [datetime(2026, 11, 1, tzinfo=UTC)]
    hook = InMemoryHook(clock=lambda: now[0])
    await hook.confirm_age(5)

    hook.learn_to_be_a_minor(5)
    await hook.forget_user(5)
    early = [await hook.confirm_age(5), await hook.has_confirmed_age(5), await hook.may_ask_age(5)]
    now[0] += timedelta(days=30)
    late = [await hook.may_ask_age(5), await hook.confirm_age(5), await hook.has_confirmed_age(5)]

    assert early == [False, False, False]
    assert late == [True, True, True]


async def test_who_is_taken_for_a_minor_is_asked_once_more_when_the_waiting_time_is_over() -> None:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    hook = InMemoryHook(clock=lambda: now)
    claims = [await hook.claim_age_question(5)]

    hook.learn_to_be_a_minor(5)
    claims.append(await hook.claim_age_question(5))
    now += timedelta(days=30)
    claims += [await hook.claim_age_question(5) for _ in range(2)]

    assert claims == [True, False, True, False]
