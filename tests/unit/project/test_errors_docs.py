"""Each error code of the source is explained in docs/errors.md, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]


def _codes(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Assign(targets=[ast.Name(id="code")], value=value):
                yield from _strings(value)
            case ast.keyword(arg="code", value=value):
                yield from _strings(value)
            case ast.Call(keywords=given) if _refuses(given):
                yield from (
                    code for each in given if each.arg == "rule" for code in _strings(each.value)
                )


def _refuses(given: list[ast.keyword]) -> bool:
    """Say whether a finding ends a request; others only keep its picture tame."""
    verdicts = [ast.unparse(each.value) for each in given if each.arg == "verdict"]
    return verdicts in ([], ["ScreenVerdict.REFUSED"])


def _strings(value: ast.expr) -> Iterator[str]:
    match value:
        case ast.Constant(value=str(code)):
            yield code
        case ast.IfExp(body=body, orelse=orelse):
            yield from (*_strings(body), *_strings(orelse))


def test_the_page_explains_every_code_once_and_no_other() -> None:
    files = [file for part in ("chatflow_hook", "imagegen") for file in (ROOT / part).rglob("*.py")]
    raised = {code for file in files for code in _codes(file.read_text())}
    page = (ROOT / "docs" / "errors.md").read_text()

    explained = re.findall(r"^\| `([a-z_]+)` \|", page, re.MULTILINE)

    assert sorted(explained) == sorted(raised)
