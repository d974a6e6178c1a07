"""What is public names each of our own errors that it raises under `Raises:` in its docstring.

ruff's DOC501 asks for more and for less: it asks private functions and lists errors of libraries,
takes the function in `raise refused(answer)` for an error, and passes over what has no docstring.
"""

# ruff: noqa: INP001 - scripts that run beside each other

import ast
import builtins
import inspect
import re
from collections.abc import Iterator

from sources import Problem, Sources

Function = ast.FunctionDef | ast.AsyncFunctionDef

_ENTRY = re.compile(r"([\w.]+(?:, [\w.]+)*):")


def check(sources: Sources) -> Iterator[Problem]:
    """Yield a problem for each public function and each error that its docstring does not name."""
    errors = own_errors(sources)
    for path in sources.product:
        if any(part.startswith("_") for part in path.removesuffix("/__init__.py").split("/")):
            continue
        for name, function, docstring in _public(sources.module(path)):
            for error in sorted(_raised(function, errors) - _named(docstring)):
                yield Problem(
                    path,
                    function.lineno,
                    f"{name} raises {error}, which its docstring does not name;"
                    f' add "{error}: when." under "Raises:"',
                )


def own_errors(sources: Sources) -> set[str]:
    """Return the public exceptions of the product, over any number of bases.

    A private one does not leave its module: nobody else could catch it.
    """
    bases = {
        node.name: {_last_name(base) for base in node.bases}
        for path in sources.product
        for node in ast.walk(sources.module(path))
        if isinstance(node, ast.ClassDef)
    }
    errors: set[str] = set()
    while found := {
        name
        for name, its in bases.items()
        if name not in errors and any(base in errors or _is_error(base, bases) for base in its)
    }:
        errors |= found
    return {name for name in errors if not name.startswith("_")}


def _is_error(base: str, ours: dict[str, set[str]]) -> bool:
    """Whether a class that is not ours is an exception: a builtin, or one of a library by its name."""
    if base in ours:
        return False
    builtin = getattr(builtins, base, None)
    if isinstance(builtin, type):
        return issubclass(builtin, BaseException)
    return base.endswith(("Error", "Exception"))


def _public(module: ast.Module) -> Iterator[tuple[str, Function, str]]:
    """Yield the name, the node and the docstring of all that may be called from elsewhere."""
    for node in module.body:
        if isinstance(node, Function) and not _is_command(node) and not node.name.startswith("_"):
            yield node.name, node, ast.get_docstring(node) or ""
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _methods(node, node.name)


def _methods(owner: ast.ClassDef, name: str) -> Iterator[tuple[str, Function, str]]:
    for node in owner.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _methods(node, f"{name}.{node.name}")
        elif isinstance(node, Function):
            docstring = ast.get_docstring(node) or ""
            if node.name == "__init__":  # it may be told in the docstring of the class
                yield name, node, f"{ast.get_docstring(owner) or ''}\n\n{docstring}"
            elif not node.name.startswith("_"):
                yield f"{name}.{node.name}", node, docstring


def _is_command(function: Function) -> bool:
    # The docstring of a click command is what its --help shows.
    decorators = (getattr(each, "func", each) for each in function.decorator_list)
    return any(_last_name(each) in {"command", "group"} for each in decorators)


def _raised(function: Function, errors: set[str]) -> set[str]:
    """Return our errors that the function's own body raises by name."""
    found: set[str] = set()
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        if isinstance(node, Function | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.Raise) and node.exc is not None:
            found |= _names(node.exc) & errors
        todo += ast.iter_child_nodes(node)
    return found


def _names(raised: ast.expr) -> set[str]:
    """Return what may be the class in `X`, `X(…)`, `module.X(…)`, `X.of(…)`, `X(…) if … else Y(…)`."""
    match raised:
        case ast.IfExp():
            return _names(raised.body) | _names(raised.orelse)
        case ast.Call():
            return _names(raised.func)
        case ast.Attribute():
            return {raised.attr} | _names(raised.value)
        case ast.Name():
            return {raised.id}
        case _:
            return set()


def _named(docstring: str) -> set[str]:
    """Return the names under `Raises:`, where an entry begins with `Name:` or `Name, Other:`."""
    found: set[str] = set()
    _, _, section = inspect.cleandoc(docstring).partition("\nRaises:\n")
    for line in section.splitlines():
        if line and not line.startswith(" "):
            break
        if entry := _ENTRY.match(line.strip()):
            found |= {name.rpartition(".")[2] for name in entry[1].split(", ")}
    return found


def _last_name(node: ast.expr) -> str:
    match node:
        case ast.Attribute():
            return node.attr
        case ast.Name():
            return node.id
        case ast.Subscript():
            return _last_name(node.value)
        case _:
            return ""
