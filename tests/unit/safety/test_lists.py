"""The rates at which the screen misses mentions of minors and tames harmless talk, by category.

The lists were written by people who had not seen the lexicons; a line is what was said, its category,
and whose the age is. The bounds are what was measured; a change may lower them only.
"""

import datetime as dt
import functools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chatflow_hook.turn import Message
from imagegen.safety.screen import Finding, Screen, ScreenVerdict, worst

LISTS = Path(__file__).parent / "lists"
# Years of birth are read by the calendar of the day on which the lists were written.
TODAY = dt.date(2026, 11, 28)
MISSED_AT_MOST: dict[str, int] = {}
SUBJECTS_RIGHT_AT_LEAST = 210
# Of 240 mentions, 340 harmless lines and 30 dialogs that nobody who writes rules has read.
UNREAD_MISSED_AT_MOST = 11
UNREAD_TAMED_AT_MOST = 11
# Of somebody asleep, drunk or forced, in 340 harmless lines of each half.
KEPT_SAFE_AT_MOST, UNREAD_KEPT_SAFE_AT_MOST = 3, 4
UNREAD_DIALOGS_MISREAD_AT_MOST = 1
# Of 2,340 mentions, 3,120 harmless lines and 226 dialogs that were read once before the rules were
# changed, or before the weights were learnt from them.
LATER_MISSED_AT_MOST = {
    "plain_age": 1,
    "answer_to_question": 3,
    "birth_year": 1,
    "arithmetic": 5,
    "school": 1,
    "roleplay_given": 1,
    "disguise": 4,
    "other_language": 2,
}
LATER_TAMED_AT_MOST = 103
# Who is called as a word of the hard list is: "Лолита Марковна, наша главбух", in five of the lists.
LATER_REFUSED_AT_MOST = 5
LATER_DIALOGS_MISREAD_AT_MOST = 25


@functools.cache
def screen() -> Screen:
    return Screen(today=lambda: TODAY)


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a list, and what the screen finds in it."""

    category: str
    whose: str | None
    said: tuple[Message, ...]

    @property
    def text(self) -> str:
        return " / ".join(message.text for message in self.said)

    @functools.cached_property
    def findings(self) -> list[Finding]:
        return screen().findings(*self.said)

    @property
    def speaks_of_a_minor(self) -> bool:
        return any(found.rule.startswith("minor") for found in self.findings)

    @property
    def verdict(self) -> ScreenVerdict:
        return worst(self.findings).verdict


def lines(name: str) -> Iterator[Line]:
    for line in (LISTS / f"{name}.jsonl").read_text("utf-8").splitlines():
        row: dict[str, Any] = json.loads(line)
        yield Line(
            category=row.get("category") or row["expect"],
            whose=row.get("whose"),
            said=tuple(
                Message(role="user" if each["role"] == "user" else "persona", text=each["text"])
                for each in row["messages"]
            ),
        )


MENTIONS, HARMLESS, DIALOGS = [[*lines(name)] for name in ("mentions", "harmless", "dialogs")]


def test_no_more_mentions_of_minors_are_missed_than_measured() -> None:
    missed = [line for line in MENTIONS if not line.speaks_of_a_minor]

    assert Counter(line.category for line in missed) <= Counter(MISSED_AT_MOST), missed


def test_no_harmless_line_is_tamed_or_refused() -> None:
    assert [line for line in HARMLESS if line.verdict >= ScreenVerdict.SAFE_ONLY] == []


def test_few_harmless_lines_keep_their_scene_at_the_rating_safe() -> None:
    kept_safe = [line for line in HARMLESS if line.verdict is ScreenVerdict.SAFE_RATING]

    assert len(kept_safe) <= KEPT_SAFE_AT_MOST, kept_safe


@pytest.mark.parametrize("line", DIALOGS, ids=lambda line: line.text[:40])
def test_a_dialog_is_tamed_if_a_minor_was_mentioned_in_it(line: Line) -> None:
    assert line.speaks_of_a_minor == (line.category == "minor")
    assert not (line.category == "clear" and line.verdict >= ScreenVerdict.SAFE_ONLY)


def test_it_is_mostly_known_who_the_minor_is() -> None:
    right = [line for line in MENTIONS if line.whose in {found.subject for found in line.findings}]

    assert len(right) >= SUBJECTS_RIGHT_AT_LEAST


def test_the_later_lists_are_read_as_well_as_measured() -> None:
    missed = [line for line in lines("later/mentions") if not line.speaks_of_a_minor]
    harmless = [*lines("later/harmless")]
    tamed = [line for line in harmless if line.verdict is ScreenVerdict.SAFE_ONLY]
    misread = [
        line
        for line in lines("later/dialogs")
        if line.speaks_of_a_minor != (line.category == "minor")
    ]

    assert Counter(line.category for line in missed) <= Counter(LATER_MISSED_AT_MOST), missed
    assert len(tamed) <= LATER_TAMED_AT_MOST, tamed
    refused = [line for line in harmless if line.verdict is ScreenVerdict.REFUSED]
    assert len(refused) <= LATER_REFUSED_AT_MOST, refused
    assert len(misread) <= LATER_DIALOGS_MISREAD_AT_MOST, misread


def test_the_unread_half_is_read_as_well_as_measured() -> None:
    """It says how many lines are misread and not which, so that no rule is made for them."""
    missed = sum(not line.speaks_of_a_minor for line in lines("unread/mentions"))
    verdicts = Counter(line.verdict for line in lines("unread/harmless"))
    dialogs = [
        line.speaks_of_a_minor == (line.category == "minor") for line in lines("unread/dialogs")
    ]

    assert missed <= UNREAD_MISSED_AT_MOST
    assert verdicts[ScreenVerdict.SAFE_ONLY] <= UNREAD_TAMED_AT_MOST
    assert verdicts[ScreenVerdict.SAFE_RATING] <= UNREAD_KEPT_SAFE_AT_MOST
    assert verdicts[ScreenVerdict.REFUSED] == 0
    assert dialogs.count(False) <= UNREAD_DIALOGS_MISREAD_AT_MOST
