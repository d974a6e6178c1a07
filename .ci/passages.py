"""The places of a checkout where files are named: prose, and strings of Python."""

# ruff: noqa: INP001 - scripts that run beside each other

import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch

from sources import Sources

_PAGES = ("README.md", "docs/*.md")
_CONFIGURATION = ("Dockerfile", "Makefile", "compose.yaml", "pyproject.toml")
_PYTHON = ("chatflow_hook/*.py", "imagegen/*.py", "tests/*.py", "alembic/*.py", ".ci/*.py")
# It names the files of trees that it makes itself.
_EXEMPT = "tests/unit/project/test_check_names.py"

# The status of a decision that is history and names what was there then.
_SUPERSEDED = re.compile(r"^\W*(?:status\W+)?superseded by\b", re.IGNORECASE | re.MULTILINE)

_BEFORE_A_STATEMENT = {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING}
_SILENT = {tokenize.NL, tokenize.COMMENT}
# Python 3.12 and newer give the text of an f-string a token of its own.
_STRINGS = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


@dataclass(frozen=True, kw_only=True)
class Passage:
    """Some text that begins at a line. `is_prose`: a page, a comment, a docstring; no other string."""

    path: str
    line: int
    text: str
    is_prose: bool


def passages(sources: Sources, naming: re.Pattern[str]) -> Iterator[Passage]:
    """Yield what may name files; files in which `naming` finds nothing are passed over."""
    for path in sorted(sources.files - {_EXEMPT}):
        if not any(fnmatch(path, each) for each in (*_PAGES, *_CONFIGURATION, *_PYTHON)):
            continue
        text = sources.text(path)
        if path.startswith("docs/decisions/") and _SUPERSEDED.search(text):
            continue
        if not path.endswith(".py"):
            yield Passage(path=path, line=1, text=text, is_prose=True)
        elif naming.search(text):
            yield from _of_python(path, text)


def _of_python(path: str, text: str) -> Iterator[Passage]:
    """Yield the comments and strings; a string that is a whole statement is a docstring."""
    before = tokenize.ENCODING
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield Passage(path=path, line=token.start[0], text=token.string, is_prose=True)
        elif token.type in _STRINGS:
            is_docstring = before in _BEFORE_A_STATEMENT
            yield Passage(path=path, line=token.start[0], text=token.string, is_prose=is_docstring)
        if token.type not in _SILENT:
            before = token.type
