"""docs/bot.md has every event that the hook logs."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "bot.md").read_text("utf-8")


def logged_in(source: str) -> Iterator[str]:
    """Yield the events of a module: the first arguments of what is called on its `log`."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called, event = ast.unparse(node.func), node.args[0]
        if re.search(r"\blog\.(info|warning|error)\b", called) and isinstance(event, ast.Constant):
            yield str(event.value)


def test_the_page_has_every_event() -> None:
    _, _, section = PAGE.partition("## What is logged")
    documented = re.findall(r"^\| [a-z ]+ \| `([^`]+)` \|", section, re.MULTILINE)
    modules = (ROOT / "chatflow_hook").glob("*.py")

    logged = {event for module in modules for event in logged_in(module.read_text("utf-8"))}

    assert len(logged) > len(documented) / 2
    assert logged - set(documented) == set()
