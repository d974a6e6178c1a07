"""The metrics as docs/metrics.md names them, with their labels."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
_ROW = re.compile(r"^\| `((?:imagegen|chatflow_hook)_\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)


@cache
def labels_by_metric(prefix: str) -> Mapping[str, frozenset[str]]:
    """Return the labels of each metric in the tables whose name begins so."""
    rows = _ROW.findall(PAGE.read_text())
    return {
        name: frozenset(re.findall(r"`(\w+)`", labels))
        for name, _, labels in rows
        if name.startswith(prefix)
    }


def base_name(name: str) -> str:
    """Return the name in the table of a sample: that of its histogram, if it belongs to one."""
    stripped = re.sub(r"_(bucket|count|sum)$", "", name)
    return stripped if stripped in labels_by_metric("") else name
