"""Sentences that no single rule knows, and whose words together mean a minor."""

import pytest

from chatflow_hook.turn import Message
from imagegen.safety.learnt_words import answer_features
from imagegen.safety.normalise import sentences
from imagegen.safety.numbers import Number, number_of
from imagegen.safety.rules import Finding
from imagegen.safety.screen import ScreenVerdict, shared_screen
from tests.unit.safety.learn_words import WEIGHTS, digest, learn, said_by_personas

MINOR = Finding(verdict=ScreenVerdict.SAFE_ONLY, rule="minor_mentioned")
SENTENCES = [
    "my mom does not know I have this account",
    "мама рубашку застёгивает мне, пуговицы пока не умею",
    "мама проверит, сделал ли я уроки",
]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_words_that_mean_a_minor_together_keep_a_picture_tame(sentence: str) -> None:
    findings = shared_screen().findings(sentence)

    assert MINOR.verdict in {found.verdict for found in findings if found.rule == MINOR.rule}
    assert all(found.verdict < ScreenVerdict.REFUSED for found in findings)


def test_nobody_is_remembered_as_a_minor_by_weighed_words() -> None:
    findings = shared_screen().findings(SENTENCES[0])

    assert findings == [MINOR]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_weighed_words_do_not_count_in_a_prompt(sentence: str) -> None:
    assert MINOR not in shared_screen().prompt_findings(sentence)


@pytest.mark.parametrize(
    "sentence",
    ["mom calls every evening", "мама звонит каждый вечер", "dad fixed the fence at the cottage"],
)
def test_talk_of_parents_alone_is_clear(sentence: str) -> None:
    assert shared_screen().findings(sentence) == []


NO_AGE = "down by 16 at halftime, beer after the game"


def test_a_number_that_may_be_an_age_is_none_beside_words_that_speak_of_none() -> None:
    assert shared_screen().findings(NO_AGE) == []


@pytest.mark.parametrize(
    "sentence",
    [
        f"I'm {NO_AGE}",
        f"a boy of 14 is {NO_AGE}",
        "wine tonight, the kids are with grandma",
        "the toddler from flat 5 cries, my boss calls, the deadline burns",
        "подросток с соседнего этажа курит, жена злится",
    ],
)
def test_nothing_else_is_taken_back_beside_words_of_an_adult_life(sentence: str) -> None:
    assert MINOR.rule in {found.rule for found in shared_screen().findings(sentence)}


def test_in_a_caption_only_rules_count() -> None:
    assert shared_screen().caption(NO_AGE).rule == MINOR.rule


def test_what_shipped_personas_say_keeps_no_picture_tame() -> None:
    said = [*said_by_personas()]

    assert said
    assert [text for text in said if shared_screen().findings(text)] == []


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_persona_may_say_what_only_weighs(sentence: str) -> None:
    assert shared_screen().caption(sentence).verdict is ScreenVerdict.CLEAR


def test_the_weights_are_those_of_the_lists_and_the_lexicon() -> None:
    """If not: `python -m tests.unit.safety.learn_words`."""
    assert digest() in WEIGHTS.read_text("utf-8")[:300]


def test_the_same_lines_give_the_same_weights_in_any_order_of_their_features() -> None:
    lines = [(("a", "b"), 1), (("b", "c"), 0), (("a", "c"), 1), (("c", "d"), 0), (("a", "d"), 1)]
    turned = [(found[::-1], label) for found, label in lines]

    weights = learn([(frozenset(found), label) for found, label in lines])

    assert weights == learn([(frozenset(found), label) for found, label in turned])
    assert weights["a"] > 0 > weights["c"]


def test_a_number_is_weighed_with_the_words_beside_it() -> None:
    with_a_count, with_none = (
        shared_screen().features(text) for text in ("15 кнопок залипло", "классу нужно 15")
    )

    assert "#10 кнопка" in next(iter(with_a_count))
    assert "#10 $" in next(iter(with_none))


ANSWERS = [
    ("ты на каком курсе?", "какой курс, я в десятом ещё"),
    ("can you drive there?", "not for another two years"),
    ("кем тебе приходится Тёма?", "племянник, в первый класс идёт"),
]


@pytest.mark.parametrize(("question", "answer"), ANSWERS)
def test_an_answer_is_weighed_with_its_question(question: str, answer: str) -> None:
    said = Message(role="persona", text=question), Message(role="user", text=answer)

    assert MINOR.rule in {found.rule for found in shared_screen().findings(*said)}


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("which gate?", "16, running"),
        ("сколько шёл фильм?", "пятнадцать минут, короткий"),
        ("can you drive there?", "sure, I'll take the van"),
        ("how many eggs?", "a dozen, please"),
        ("which exit?", "13, then the second right"),
        ("how long to port?", "Fifteen at this speed."),
        ("Тебе есть 18?", "да, давно"),
    ],
)
def test_answers_of_adults_are_clear(question: str, answer: str) -> None:
    said = Message(role="persona", text=question), Message(role="user", text=answer)

    assert shared_screen().findings(*said) == []


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("how old is he?", "13, then the second right"),
        ("how old are you?", "a dozen, please"),
        ("I'm 27", "16"),
        ("мне 30", "15"),
        ("do you smoke?", "15 and never tried"),
        ("single?", "yes, 15"),
        ("права есть?", "15, рано"),
        ("сестра работает?", "14, нет"),
    ],
)
def test_an_age_in_an_answer_is_not_taken_back(question: str, answer: str) -> None:
    said = Message(role="persona", text=question), Message(role="user", text=answer)

    assert MINOR.rule in {found.rule for found in shared_screen().findings(*said)}


def test_only_a_question_and_its_answer_together_have_features_of_both() -> None:
    (asked,), (answered,) = (
        [*shared_screen().features(text)] for text in ("how old is your cousin", "12 i guess")
    )

    weighed = answer_features(asked, answered)

    assert weighed > answered
    assert {"?cousin", "?cousin #10", "?cousin guess"} <= weighed


def test_of_a_long_answer_only_its_numbers_are_weighed_with_the_question() -> None:
    (asked,), (answered,) = (
        [*shared_screen().features(text)]
        for text in ("how old is your cousin", "he is 12 i guess or so")
    )

    weighed = answer_features(asked, answered)

    assert "?cousin #10" in weighed
    assert "?cousin guess" not in weighed


@pytest.mark.parametrize("word", ["шестом", "shestom"])
def test_a_word_that_may_be_two_numbers_is_read_the_same_in_each_process(word: str) -> None:
    (sentence,) = sentences(word)

    assert number_of(sentence.words[0]) == Number(value=6, is_ordinal=True)
