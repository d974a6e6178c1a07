"""`imagegen personas`: which personas there are, what yours change, and reading them anew."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from chatflow_hook.settings import BadSetting, RedisSettings, read
from imagegen.cli import output
from imagegen.cli.exits import exit_with, extra
from imagegen.cli.options import timeout_option
from imagegen.cli.persona_check import check
from imagegen.cli.persona_new import new
from imagegen.errors import ImagegenError

if TYPE_CHECKING:
    from imagegen.queue.persona_reload import ReloadAnswer
    from imagegen.workflows.library import Library
    from imagegen.workflows.persona_diff import PersonaDiff

_COLUMNS = ("persona", "state", "aliases", "size", "rating", "from", "workflow")


@click.group()
def personas() -> None:
    """Look at the personas of WORKFLOWS_DIR and PERSONAS_DIR, and put changed ones in force."""


personas.add_command(check)
personas.add_command(new)


@personas.command("list")
@output.json_option
def show_all(*, is_json: bool) -> None:
    """List the personas: those that can be drawn, and those whose files are broken.

    Ends with 1 if one is broken.
    """
    library, own = _library()
    rows = [*_drawable(library, own), *_broken(library)]
    if is_json:
        output.show_json(rows)
    else:
        cells = [[_cell(row[column]) for column in _COLUMNS] for row in rows]
        faults = [f"{row['persona']} is broken: {row['why']}" for row in rows if row["why"]]
        table = output.Table(columns=_COLUMNS, rows=cells)
        output.show([table, "\n".join(faults)] if faults else [table])
    sys.exit(1 if library.faults else 0)


@personas.command()
@click.argument("names", metavar="[NAME]…", nargs=-1)
@output.json_option
def diff(*, names: Sequence[str], is_json: bool) -> None:
    """Show what the folders of PERSONAS_DIR change of the shipped personas; all of them, or NAMEs.

    Ends with 1 if there are differences, like diff.
    """
    with extra("worker"):
        from imagegen.settings import LibrarySettings
        from imagegen.workflows.persona_diff import persona_diffs

    try:
        settings = read(LibrarySettings)
    except BadSetting as error:
        exit_with(str(error), code=2)
    if settings.personas_dir is None:
        exit_with("PERSONAS_DIR is not set: there are only the shipped personas", code=2)
    try:
        diffs = persona_diffs(settings.workflows_dir, settings.personas_dir, names)
    except ImagegenError as error:
        exit_with(str(error), code=2)
    if is_json:
        output.show_json([asdict(each) for each in diffs])
    else:
        output.show(_diff_blocks(diffs) or ["no differences"])
    sys.exit(1 if diffs else 0)


@personas.command()
@timeout_option("How long the workers may take.", default_s=15.0)
@output.json_option
def reload(*, timeout_s: float, is_json: bool) -> None:
    """Let all workers read the persona folders anew, all or nothing.

    A worker that finds a broken folder changes nothing and says why. Ends with 1 if one of them has
    changed nothing, or does not answer.
    """
    with extra("worker"):
        from imagegen.queue import persona_reload  # noqa: F401 (the extra is named before Redis is)

    try:
        settings = read(RedisSettings)
        answers, worker_count = asyncio.run(_reload(settings, timeout_s))
    except BadSetting as error:
        exit_with(str(error), code=2)
    if is_json:
        output.show_json([answer.model_dump() for answer in answers])
    else:
        output.show(["\n".join(_answer_line(answer) for answer in answers) or "no worker runs"])
    if len(answers) < worker_count:
        click.echo(
            f"imagegen: {len(answers)} of {worker_count} workers have answered: look at the logs of"
            " the others, or send them SIGHUP",
            err=True,
        )
    is_done = answers and len(answers) >= worker_count and not any(each.why for each in answers)
    sys.exit(0 if is_done else 1)


async def _reload(
    settings: RedisSettings, timeout_s: float
) -> "tuple[Sequence[ReloadAnswer], int]":
    from redis.exceptions import RedisError

    from chatflow_hook import redis_errors
    from imagegen.monitoring import host_status
    from imagegen.queue import connections, persona_reload

    place = settings.redis
    async with connections.silent_connection(place, db=settings.redis_result_db) as redis:
        try:
            worker_count = await host_status.count_workers(redis)
            if not worker_count:
                return [], 0
            answers = await persona_reload.ask_all(
                redis,
                broker_db=settings.redis_broker_db,
                worker_count=worker_count,
                timeout_s=timeout_s,
            )
        except (RedisError, OSError) as error:
            exit_with(redis_errors.why(error, place.address, user=place.user), code=2)
    return answers, worker_count


def _answer_line(answer: "ReloadAnswer") -> str:
    if answer.why is not None:
        return f"{answer.worker}: nothing changed, {answer.why}"
    changes = [
        f"{word} {', '.join(names)}"
        for word, names in (
            ("added", answer.added),
            ("changed", answer.changed),
            ("removed", answer.removed),
        )
        if names
    ]
    return f"{answer.worker}: {'; '.join(changes) or 'read anew, no difference'}"


def _library() -> "tuple[Library, frozenset[str]]":
    """Load the library; the second value are the names of the operator's own folders."""
    with extra("worker"):
        from imagegen.bootstrap import workflow_library
        from imagegen.settings import LibrarySettings

    try:
        settings = read(LibrarySettings)
        library = workflow_library(settings)
    except (BadSetting, ImagegenError) as error:
        exit_with(str(error), code=2)
    directory = settings.personas_dir
    own = () if directory is None else (each.name.casefold() for each in directory.iterdir())
    return library, frozenset(own)


def _drawable(library: "Library", own: frozenset[str]) -> list[Mapping[str, Any]]:
    return [
        {
            "persona": name,
            "state": "ok",
            "aliases": sorted(workflow.persona.aliases),
            "size": f"{workflow.width}x{workflow.height}",
            "rating": workflow.persona.max_rating.value,
            "from": "PERSONAS_DIR" if name in own else "WORKFLOWS_DIR",
            "workflow": str(workflow.path),
            "why": None,
        }
        for name, workflow in sorted(library.workflows.items())
    ]


def _broken(library: "Library") -> list[Mapping[str, Any]]:
    nothing = dict.fromkeys(("size", "rating", "from"))
    return [
        {
            "persona": name,
            "state": "broken",
            "aliases": [],
            **nothing,
            "workflow": str(fault.file),
            "why": fault.sentence,
        }
        for name, fault in sorted(library.faults.items())
    ]


def _cell(value: Any) -> str:
    return (", ".join(value) if isinstance(value, list) else value) or "-"


def _diff_blocks(diffs: "Sequence[PersonaDiff]") -> "list[output.Table | str]":
    return ["\n".join([f"{each.persona}, {each.file}:", *each.lines]) for each in diffs]
