"""No class name stands twice in the product, so that a name in a log, a page or a search is one thing.

Private classes count as well: `_Row` in two files is read as the same thing by who searches for it.
A class inside another class or a function does not count: its owner's name is a part of its own.
"""

# ruff: noqa: INP001 - scripts that run beside each other

import ast
from collections import defaultdict
from collections.abc import Iterator

from sources import Problem, Sources


def check(sources: Sources) -> Iterator[Problem]:
    """Yield a problem for each class whose name another module has already."""
    places: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for path in sources.product:
        for node in sources.module(path).body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append((path, node.lineno))

    for name, (first, *others) in places.items():
        for path, line in others:
            yield Problem(
                path,
                line,
                f"class {name} stands in {first[0]}:{first[1]} too; rename one of them",
            )
