"""What a module or a class defines, as far as its source tells."""

# ruff: noqa: INP001 - scripts that run beside each other

import ast
from collections.abc import Iterator, Sequence

_DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def defines(scope: ast.Module | ast.ClassDef, names: Sequence[str]) -> bool:
    """Whether `names`, such as ("Requests", "claim"), lead to something in a module or a class.

    True where the source does not tell: for what comes from another module, and for what a base
    class or `__getattr__` may have.
    """
    if not names:
        return True
    found = dict(_defined(scope))
    if names[0] not in found:
        return "__getattr__" in found or (isinstance(scope, ast.ClassDef) and bool(scope.bases))
    node = found[names[0]]
    return defines(node, names[1:]) if isinstance(node, ast.ClassDef) else True


def _defined(scope: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield each name with the node that defines it; those under `if` and `try` too."""
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, _DEFINITIONS):
            yield node.name, node
            if isinstance(scope, ast.ClassDef):
                yield from _of_self(node)
        elif isinstance(node, ast.alias):
            yield node.asname or node.name, node
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node
        else:
            yield from _defined(node)


def _of_self(method: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    for node in ast.walk(method):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), ctx=ast.Store()):
                yield node.attr, node
