"""What is logged and told to probes about personas that hosts cannot draw."""

from dataclasses import replace
from pathlib import Path

from structlog.testing import capture_logs
from structlog.typing import EventDict

from imagegen.comfy.capabilities import HostCapabilities
from imagegen.db.tables import HostUse
from imagegen.monitoring.persona_coverage import PersonaCoverage
from imagegen.pool.pool import Pool
from imagegen.workflows.errors import WorkflowFault
from imagegen.workflows.library import Library
from imagegen.workflows.reload import ReloadableLibrary
from tests.support.pool_callers import pool_of
from tests.support.shipped_workflows import shipped_workflows

A, B = "a:8188", "b:8188"
ASH = shipped_workflows().find("ash")
LIBRARY = Library(workflows={"ash": ASH}, faults={})
EMPTY = HostCapabilities(classes=frozenset({"Plain"}), names={})
FULL = HostCapabilities(classes=ASH.requirements.classes, names={})


async def test_nothing_is_said_while_no_stock_is_known() -> None:
    assert await logged_by(PersonaCoverage(ReloadableLibrary(lambda: LIBRARY), pool_of(A, B))) == []


async def test_a_persona_that_no_host_can_draw_is_an_error_by_file_and_node() -> None:
    pool = pool_of(A)
    set_capabilities(pool, A, EMPTY)

    [line] = await logged_by(PersonaCoverage(ReloadableLibrary(lambda: LIBRARY), pool))

    assert (line["log_level"], line["persona"]) == ("error", "ash")
    assert line["event"] == "no host can draw this persona"
    assert line["file"].endswith("workflow.json")
    assert "there is no node class KSampler" in line["missing"][A]


async def test_a_persona_that_some_hosts_cannot_draw_is_a_warning() -> None:
    pool = pool_of(A, B)
    set_capabilities(pool, A, EMPTY)
    set_capabilities(pool, B, FULL)

    [line] = await logged_by(PersonaCoverage(ReloadableLibrary(lambda: LIBRARY), pool))

    assert (line["log_level"], list(line["missing"])) == ("warning", [A])


async def test_a_host_that_is_down_does_not_keep_the_others_from_being_judged() -> None:
    pool = pool_of(A, B)
    set_capabilities(pool, A, EMPTY)

    [line] = await logged_by(PersonaCoverage(ReloadableLibrary(lambda: LIBRARY), pool))

    assert line["log_level"] == "warning"


async def test_what_has_been_said_is_said_again_only_when_it_changes() -> None:
    pool = pool_of(A, B)
    set_capabilities(pool, A, EMPTY)
    coverage = PersonaCoverage(ReloadableLibrary(lambda: LIBRARY), pool)

    levels = [[line["log_level"] for line in await logged_by(coverage)] for _ in range(2)]
    set_capabilities(pool, B, EMPTY)
    levels.append([line["log_level"] for line in await logged_by(coverage)])
    for name in (A, B):
        set_capabilities(pool, name, FULL)
    levels.append([line["log_level"] for line in await logged_by(coverage)])

    assert levels == [["warning"], [], ["error"], ["info"]]


async def test_a_persona_that_no_usable_host_can_draw_is_told_with_what_is_missing() -> None:
    pool = pool_of(A, B)
    set_capabilities(pool, A, EMPTY)
    set_capabilities(pool, B, FULL)
    coverage = PersonaCoverage(ReloadableLibrary(lambda: LIBRARY), pool)

    one_can = await told_by(coverage)
    pool.set_use(B, HostUse.DRAINING)
    none_can = await told_by(coverage)
    pool.set_use(A, HostUse.DRAINING)
    no_host = await told_by(coverage)

    assert one_can == no_host == (None, None)
    assert none_can[0] == none_can[1]
    assert str(none_can[0]).startswith("ash cannot be drawn: a:8188: there is no node class ")


async def test_a_broken_persona_is_told_and_only_the_last_one_is_all_of_them() -> None:
    fault = WorkflowFault(Path("mei/persona.toml"), "no name")
    library = replace(LIBRARY, faults={"mei": fault})
    pool = pool_of(A)
    coverage = PersonaCoverage(ReloadableLibrary(lambda: library), pool)

    some = await told_by(coverage)
    set_capabilities(pool, A, EMPTY)
    none, all_faults = await told_by(coverage)

    assert some == (None, "mei cannot be drawn: mei/persona.toml: no name")
    assert none == all_faults
    assert "ash cannot be drawn" in str(none)
    assert "mei cannot be drawn" in str(none)


async def told_by(coverage: PersonaCoverage) -> tuple[str | None, str | None]:
    await coverage.step()
    return await coverage.why_none(), await coverage.why_not_all()


async def logged_by(coverage: PersonaCoverage) -> list[EventDict]:
    with capture_logs() as lines:
        await coverage.step()
    return list(lines)


def set_capabilities(pool: Pool, name: str, has: HostCapabilities) -> None:
    pool._hosts[name].set_capabilities(has, now=0)
