"""The rights that docs/database.md lists for a worker and a bot, as grants."""

import re
from pathlib import Path
from typing import Literal

_PAGE = Path(__file__).parents[2] / "docs" / "database.md"
_ROW = re.compile(r"^\| `(?P<table>\w+)` \|(?P<worker>[^|]*)\|(?P<bot>[^|]*)\|$", re.MULTILINE)
_RIGHT = re.compile(r"\b(?:SELECT|INSERT|UPDATE|DELETE)\b")


def grants(role: Literal["worker", "bot"], *, owns_dialogs: bool = True) -> list[str]:
    """Return what to grant to a role, such as `SELECT ON dialogs`, by the table of the page.

    `owns_dialogs`: our migrations created the table `dialogs`.
    """
    _, _, rest = _PAGE.read_text("utf-8").partition("\n## Rights\n")
    section = rest.partition("\n## ")[0]
    found = []
    for row in _ROW.finditer(section):
        table, cell = row["table"], row[role]
        if not owns_dialogs:
            cell = ";".join(part for part in cell.split(";") if "the table is ours" not in part)
        found += [f"{right} ON {table}" for right in _RIGHT.findall(cell)]
        if "USAGE" in cell:
            found.append(f"USAGE ON SEQUENCE {table}_id_seq")
    assert found, "the page has no table of rights"
    return found
