"""The error codes that docs/errors.md explains, by the section of the page."""

import re
from pathlib import Path

_PAGE = Path(__file__).parents[2] / "docs" / "errors.md"


def of(section: str) -> list[str]:
    """Return the codes of one section, such as `Refused`."""
    _, _, rest = _PAGE.read_text("utf-8").partition(f"\n## {section}\n")
    return re.findall(r"^\| `([a-z_]+)` \|", rest.partition("\n## ")[0], re.MULTILINE)
