"""What `make check` finds in names of files and classes and in docstrings, on small checkouts."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / ".ci" / "check_names.py"

POOL = '''
class Pool:
    """Many hosts."""

    size = 1

    def __init__(self):
        self.hosts = []

    def lease(self):
        pass
'''


class Checkout:
    """A folder with some files, and what the script says of it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def add(self, path: str, text: str = "") -> None:
        file = self._root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text).lstrip(), "utf-8")

    def problems(self) -> list[str]:
        command = [sys.executable, str(SCRIPT), str(self._root)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.stderr == ""
        assert ended.returncode == (1 if ended.stdout else 0)
        return ended.stdout.splitlines()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """Return a checkout of two modules in which all is well."""
    checkout = Checkout(tmp_path)
    checkout.add("imagegen/__init__.py")
    checkout.add("imagegen/comfy/__init__.py")
    checkout.add("imagegen/comfy/pool.py", POOL)
    checkout.add("imagegen/worker.py", "from imagegen.comfy.pool import Pool\n")
    checkout.add("docs/bot.md", "# Bot\n")
    return checkout


@pytest.mark.parametrize(
    "text",
    [
        "See `pool.py`.",
        "See comfy/pool.py, or imagegen/comfy/pool.py.",
        "[The bot](bot.md) and [its page](../docs/bot.md) in docs/bot.md",
        "`imagegen/comfy/` is `comfy/`; imagegen/comfy too.",
        "All of imagegen/*.py, imagegen/comfy/p*.py and imagegen/{worker,comfy}.py",
        "imagegen/comfy/pool.py:Pool.lease and pool.py:12 and pool.py::Pool.size",
        "imagegen.comfy.pool, imagegen.comfy.pool.Pool.hosts and imagegen.worker:Pool.",
        "https://example.com/imagegen/gone.py, /usr/lib/gone.py and ~/gone.py",
    ],
)
def test_what_exists_may_be_named(checkout: Checkout, text: str) -> None:
    checkout.add("docs/page.md", text)

    assert checkout.problems() == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("See `gone.py`.", "gone.py"),
        ("See comfy/gone.py.", "comfy/gone.py"),
        ("See imagegen/pool.py.", "imagegen/pool.py"),
        ("[A page](gone.md#there)", "gone.md"),
        ("It is in persona.toml.", "persona.toml"),
        ("`gone/` is a part.", "gone"),
        ("The tests are in tests/unit.", "tests/unit"),
        ("pool.py:Pool.gone", "pool.py has no Pool.gone"),
        ("imagegen.comfy.gone", "imagegen.comfy.gone"),
        ("imagegen.comfy.pool.Gone", "imagegen.comfy.pool.Gone"),
        ("python -m imagegen.worker:gone", "imagegen.worker:gone"),
    ],
)
def test_what_does_not_exist_may_not_be_named(checkout: Checkout, text: str, named: str) -> None:
    checkout.add("docs/page.md", f"# A page\n\n{text}\n")

    (problem,) = checkout.problems()

    assert problem.startswith("docs/page.md:3: ")
    assert named in problem
    assert "name what is there now" in problem


@pytest.mark.parametrize(
    "path", ["README.md", "Makefile", "Dockerfile", "compose.yaml", "pyproject.toml"]
)
def test_all_that_people_read_is_looked_at(checkout: Checkout, path: str) -> None:
    checkout.add(path, "# see gone.py\n")

    (problem,) = checkout.problems()

    assert problem.startswith(f"{path}:1: there is no gone.py; ")


@pytest.mark.parametrize("folder", ["imagegen", "chatflow_hook", "tests", "alembic", ".ci"])
def test_comments_and_docstrings_are_looked_at(checkout: Checkout, folder: str) -> None:
    checkout.add(
        f"{folder}/module.py",
        '''
        """One line,

        and gone.py.
        """

        NUMBER = 1  # see lost.py
        ''',
    )

    first, second = checkout.problems()

    assert first.startswith(f"{folder}/module.py:3: there is no gone.py; ")
    assert second.startswith(f"{folder}/module.py:6: there is no lost.py; ")


def test_a_string_is_looked_at_where_it_begins_with_a_folder_of_ours(checkout: Checkout) -> None:
    checkout.add(
        "tests/test_place.py",
        """
        PLACES = (
            "imagegen/comfy/pool.py:Pool.lease",
            "imagegen/comfy/pool.py:Pool.gone",
            "imagegen/gone.py:Pool.lease",
            "imagegen.gone",
            "gone.py",
            "elsewhere/gone.py",
        )
        """,
    )

    assert [problem.partition(";")[0] for problem in checkout.problems()] == [
        "tests/test_place.py:3: imagegen/comfy/pool.py has no Pool.gone",
        "tests/test_place.py:4: there is no imagegen/gone.py",
        "tests/test_place.py:5: imagegen.gone is nothing",
    ]


def test_what_a_base_class_may_have_is_believed(checkout: Checkout) -> None:
    checkout.add(
        "imagegen/own.py",
        """
        from imagegen.comfy.pool import Pool

        class OwnPool(Pool):
            pass
        """,
    )
    checkout.add("docs/page.md", "own.py:OwnPool.lease")

    assert checkout.problems() == []


@pytest.mark.parametrize(
    "status", ["Superseded by [18](0018-new.md).", "**Status:** superseded by 18"]
)
def test_a_superseded_decision_may_name_what_was_there(checkout: Checkout, status: str) -> None:
    checkout.add("docs/decisions/0018-new.md")
    checkout.add("docs/decisions/0008-old.md", f"# 8. Old\n\n{status}\n\nSee gone.py.\n")

    assert checkout.problems() == []


def test_a_decision_that_holds_names_what_is_there(checkout: Checkout) -> None:
    checkout.add("docs/decisions/0008-old.md", "# 8. Old\n\nRows superseded: see gone.py.\n")

    (problem,) = checkout.problems()

    assert problem.startswith("docs/decisions/0008-old.md:3: there is no gone.py; ")


@pytest.mark.parametrize("name", ["Row", "_Row"])
def test_a_class_name_stands_once_in_both_packages(checkout: Checkout, name: str) -> None:
    checkout.add("chatflow_hook/rows.py", f"class {name}:\n    pass\n")
    checkout.add("imagegen/rows.py", f"\nNUMBER = 1\n\nclass {name}:\n    pass\n")

    assert checkout.problems() == [
        f"imagegen/rows.py:3: class {name} stands in chatflow_hook/rows.py:1 too; rename one of them"
    ]


def test_classes_inside_others_and_classes_of_tests_may_share_a_name(checkout: Checkout) -> None:
    checkout.add("imagegen/one.py", "class One:\n    class Row:\n        pass\n")
    checkout.add("imagegen/two.py", "class Two:\n    class Row:\n        pass\n")
    checkout.add("tests/one.py", "class One:\n    pass\n")

    assert checkout.problems() == []


ERRORS = """
from elsewhere import LibraryError

class Rejected(Exception):
    pass

class Refused(Rejected):
    pass

class NoAnswer(LibraryError):
    pass

class _Stopped(Exception):
    pass

class Answer:
    pass
"""


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("def ask():\n    raise Refused('no')", "ask raises Refused"),
        ("async def ask():\n    raise errors.Refused", "ask raises Refused"),
        ("def ask():\n    raise Refused.of(1).with_traceback(None)", "ask raises Refused"),
        ("def ask():\n    if 1:\n        raise NoAnswer from None", "ask raises NoAnswer"),
        ("def ask():\n    '''Ask. Raises Refused.'''\n    raise Refused", "ask raises Refused"),
        (
            (
                "def ask():\n    '''Ask.\n\n    Raises:\n        Rejected: always.\n    '''\n"
                "    raise Refused"
            ),
            "ask raises Refused",
        ),
        ("class Ask:\n    def now(self):\n        raise Refused", "Ask.now raises Refused"),
        ("class Ask:\n    def __init__(self):\n        raise Refused", "Ask raises Refused"),
    ],
)
def test_an_error_that_the_docstring_does_not_name_is_told(
    checkout: Checkout, code: str, what: str
) -> None:
    checkout.add("imagegen/errors.py", ERRORS)
    checkout.add("imagegen/ask.py", code)

    (problem,) = checkout.problems()

    assert problem.startswith("imagegen/ask.py:")
    assert f": {what}, which its docstring does not name; add " in problem


def test_one_of_two_errors_that_is_not_named_is_told(checkout: Checkout) -> None:
    checkout.add("imagegen/errors.py", ERRORS)
    checkout.add(
        "imagegen/ask.py",
        """
        def ask():
            '''Ask.

            Raises:
                Refused: the answer was no.
            '''
            raise Refused if 1 else NoAnswer
        """,
    )

    assert checkout.problems() == [
        (
            "imagegen/ask.py:1: ask raises NoAnswer, which its docstring does not name;"
            ' add "NoAnswer: when." under "Raises:"'
        )
    ]


@pytest.mark.parametrize(
    "code",
    [
        """
        def ask():
            '''Ask.

            Raises:
                Refused: the answer
                    was no.
                NoAnswer, Rejected: else.

            Nothing is kept.
            '''
            if 1:
                raise Refused
            raise NoAnswer if 2 else Rejected
        """,
        """
        class Ask:
            '''A question.

            Raises:
                Refused: it may not be asked.
            '''

            def __init__(self):
                raise Refused
        """,
        """
        class Ask:
            def __init__(self):
                '''Begin.

                Raises:
                    Refused: it may not be asked.
                '''
                raise Refused
        """,
    ],
)
def test_errors_that_the_docstring_names_are_well(checkout: Checkout, code: str) -> None:
    checkout.add("imagegen/errors.py", ERRORS)
    checkout.add("imagegen/ask.py", code)

    assert checkout.problems() == []


@pytest.mark.parametrize(
    "code",
    [
        "def _ask():\n    raise Refused",
        "class _Ask:\n    def now(self):\n        raise Refused",
        "class Ask:\n    def _now(self):\n        raise Refused",
        "def ask():\n    def answer():\n        raise Refused",
        "def ask():\n    try:\n        answer()\n    except Refused:\n        raise",
        "def ask():\n    raise ValueError('no number')",
        "def ask():\n    raise refused('no')",
        "def ask():\n    raise _Stopped",
        "@main.command()\ndef ask():\n    '''Ask.'''\n    raise Refused",
    ],
)
def test_private_things_and_errors_of_others_need_no_name(checkout: Checkout, code: str) -> None:
    checkout.add("imagegen/errors.py", ERRORS)
    checkout.add("imagegen/ask.py", code)

    assert checkout.problems() == []


def test_a_private_module_is_not_asked(checkout: Checkout) -> None:
    checkout.add("imagegen/errors.py", ERRORS)
    checkout.add("imagegen/_ask.py", "def ask():\n    raise Refused")

    assert checkout.problems() == []
