"""Each file, folder and module of ours that is named somewhere exists.

A name alone, such as `worker.py`, may stand anywhere in the checkout.
A path is told from the root, from one of the packages, from `docs/`, or from the file that names it.
Strings of Python are taken at their word only where they begin with a folder or a package of ours:
`"imagegen/cli/app.py:main"` names a place, while a name alone may be a file that a test writes.
"""

# ruff: noqa: INP001 - scripts that run beside each other

import posixpath
import re
from collections.abc import Iterable, Iterator

from definitions import defines
from passages import Passage, passages
from sources import Problem, Sources

# What may be named though it is not here.
ELSEWHERE = {
    # ComfyUI's own
    "main.py",
    # written by `make bench`, and when a wheel is built
    "bench-results",
    "imagegen/_shipped",
    # ChatFlow's own, in docs/from-celery.md
    "alembic/env.py",
    "docker-compose.yml",
    "services",
    "shared",
    "telegram-bot-microservices",
    # the bot that docs/testing-your-bot.md makes up, and its tests
    "messages.py",
    "test_bot.py",
    "test_bot_on_servers.py",
    "test_waiting.py",
}

# Where a path may begin besides the folder of the file that names it.
_BASES = ("", "chatflow_hook", "imagegen", "tests", "docs")
_ROOTS = (".ci", "alembic", "chatflow_hook", "docs", "imagegen", "tests", "workflows")

_NAMED = re.compile(
    rf"""
    (?<! [\w/\\.@*}}>~-] )  # not in the middle of a path, an address or a pattern
    (?:
        (?P<file> (?:\.\./)* \.?[\w-][\w.-]* (?:/[\w.-]+)* \.(?:py|md|toml) ) (?! [\w/-] | \.\w )
        (?: ::? (?P<attribute> [A-Za-z_]\w* (?:\.[A-Za-z_]\w*)* ) )?
    |
        (?P<rooted> (?:{"|".join(map(re.escape, _ROOTS))}) /
            (?:[\w.-]+/)* (?: [\w.-]*\w (?! [\w*<{{-] | \.\w ) )? )
    |
        (?<=`) (?P<folder> [\w.][\w./-]* / ) (?=`)
    |
        (?P<module> (?:chatflow_hook|imagegen|tests) (?:\.[A-Za-z_]\w*)+ (?::[A-Za-z_][\w.]*\w)? )
    )
    """,
    re.VERBOSE,
)


def check(sources: Sources) -> Iterator[Problem]:
    """Yield a problem for each name of something that is not there."""
    for passage in passages(sources, _NAMED):
        for named in _NAMED.finditer(passage.text):
            if fault := _fault(sources, passage, named):
                line = passage.line + passage.text.count("\n", 0, named.start())
                yield Problem(passage.path, line, fault)


def _fault(sources: Sources, passage: Passage, named: re.Match[str]) -> str | None:
    if named["module"]:
        is_there = _is_module(sources, named["module"])
        return None if is_there else f"{named['module']} is nothing; name what is there now"

    path = (named["file"] or named["rooted"] or named["folder"]).rstrip("/")
    is_rooted = "/" in path and path.split("/", maxsplit=1)[0] in _ROOTS
    if _is_elsewhere(path) or not (passage.is_prose or is_rooted):
        return None
    found = _found(sources, path, passage.path)
    if not found:
        return (
            f"there is no {path}; name what is there now,"
            " or add what is not ours to ELSEWHERE in .ci/file_names.py"
        )
    if named["attribute"] and not _is_defined(sources, found, named["attribute"].split(".")):
        return f"{path} has no {named['attribute']}; name what is there now"
    return None


def _is_elsewhere(path: str) -> bool:
    return any(f"{path}/".startswith(f"{each}/") for each in ELSEWHERE)


def _found(sources: Sources, path: str, where: str) -> set[str]:
    """Return the files and folders that may be meant."""
    if "/" not in path:
        found = {file for file in sources.files if posixpath.basename(file) == path}
        if found:
            return found
    bases = (*_BASES, posixpath.dirname(where))
    return {posixpath.normpath(posixpath.join(base, path)) for base in bases} & (
        sources.files | sources.folders
    )


def _is_module(sources: Sources, name: str) -> bool:
    """Whether a dotted name leads to a module, or to what a module defines."""
    module, _, attribute = name.partition(":")
    parts, inside = module.split("."), attribute.split(".") if attribute else []
    for count in range(len(parts), 0, -1):
        stem = "/".join(parts[:count])
        found = sources.files & {f"{stem}.py", f"{stem}/__init__.py"}
        if found:
            return _is_defined(sources, found, [*parts[count:], *inside])
        if stem in sources.folders:  # of tests, which are no packages
            return count == len(parts)
    return False


def _is_defined(sources: Sources, files: Iterable[str], names: list[str]) -> bool:
    return any(defines(sources.module(file), names) for file in files if file.endswith(".py"))
