"""A number from 10 to 17, or a late year, is harmless only if something explains it."""

import datetime as dt

import pytest

from imagegen.safety.screen import CLEAR, Screen

SCREEN = Screen(today=lambda: dt.date(2026, 11, 28))


@pytest.mark.parametrize(
    "text",
    [
        "um, sixteen, ok",
        "turnin 17 in feb",
        "seventeen til march",
        "14 here, hi",
        "читырнадцать мне",
        "рожд 09 года",
        "IX лет мне",
        "16 м мск",
        "мне один-шесть",
        "I have been alive for fifteen years",
        "2012, Omsk",
        "мне 15 запятая живу в Перми",
    ],
)
def test_what_is_not_understood_may_be_an_age(text: str) -> None:
    assert SCREEN.conversation(text) != CLEAR


@pytest.mark.parametrize(
    "text",
    [
        "13 orders before noon",
        "17 пропущенных от тебя",
        "андроид 14 лагает",
        "The plumber said between 12 and 4",
        "Ten years married and he still brings me coffee",
        "17 лет со свадьбы",
        "I was made redundant in 2011.",
        "it's a 13 inch model from 2016",
        "Я проработал в этой больнице четырнадцать лет.",
        "The signal-to-noise ratio is about 15 to 1.",
        "a fifteen year old malt",
    ],
)
def test_what_counts_labels_or_dates_something_is_no_age(text: str) -> None:
    assert SCREEN.conversation(text) == CLEAR
