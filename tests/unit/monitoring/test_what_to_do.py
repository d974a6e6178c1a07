"""The status page says of each error code what docs/errors.md says."""

import re
from pathlib import Path

from imagegen.monitoring.status.snapshot import what_to_do

_PAGE = Path(__file__).parents[3] / "docs" / "errors.md"


def test_each_code_of_a_request_has_the_advice_of_the_page() -> None:
    of_requests, _, _ = _PAGE.read_text("utf-8").partition("\n## Codes that are not of a request")
    rows = re.findall(r"^\| `([a-z_]+)` \| .* \| (.*) \|$", of_requests, re.MULTILINE)

    assert what_to_do() == {code: _plain(advice) for code, advice in rows}


def _plain(markdown: str) -> str:
    return re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", markdown).replace("`", "")
