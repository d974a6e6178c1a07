"""A text in the language of the person who reads it."""

import pytest

from imagegen.languages import in_language


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("ru", "да"),
        ("ru-RU", "да"),
        ("RU_ru", "да"),
        ("en-GB", "yes"),
        ("de", "yes"),
        ("rum", "yes"),
        ("", "yes"),
        (None, "yes"),
    ],
)
def test_it_is_english_unless_the_person_reads_russian(language: str | None, text: str) -> None:
    assert in_language({"en": "yes", "ru": "да"}, language) == text
