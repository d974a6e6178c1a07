"""The tree of errors at the top of errors.py shows every error of imagegen under its base class."""

import importlib
import pkgutil
import re
from collections.abc import Iterator

import imagegen
from imagegen import errors
from imagegen.errors import ImagegenError

INDENT = 4


def test_the_docstring_shows_every_error_under_its_base_class() -> None:
    for module in pkgutil.walk_packages(imagegen.__path__, "imagegen."):
        if not module.name.endswith(".__main__"):  # importing it would run the program
            importlib.import_module(module.name)

    defined = {("ImagegenError", None), *_subclasses(ImagegenError)}

    assert sorted(_documented(), key=str) == sorted(defined, key=str)


def test_each_error_is_explained_in_three_to_eight_words() -> None:
    explanations = re.findall(r"^ +\w+ +(\S.*)$", _tree(), re.MULTILINE)

    assert [text for text in explanations if not 3 <= len(text.split()) <= 8] == []


def _subclasses(base: type[ImagegenError]) -> Iterator[tuple[str, str | None]]:
    for each in base.__subclasses__():
        if each.__module__.startswith("imagegen."):
            yield each.__name__, base.__name__
            yield from _subclasses(each)


def _documented() -> Iterator[tuple[str, str | None]]:
    bases: list[str] = []
    for indent, name in re.findall(r"^( +)(\w+)", _tree(), re.MULTILINE):
        depth = len(indent) // INDENT - 1
        del bases[depth:]
        yield name, bases[-1] if bases else None
        bases.append(name)


def _tree() -> str:
    return str(errors.__doc__).split("\n\n")[1]
