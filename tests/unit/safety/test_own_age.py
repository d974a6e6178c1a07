"""A user's own age beside a request for a picture is the user's, whatever is asked of the persona."""

import functools

import pytest

from chatflow_hook.prefilter import needs_reading
from chatflow_hook.turn import Message
from imagegen.safety.screen import Finding, Subject, shared_screen

AGES = (
    "I'm 15",
    "I am only 14",
    "i'm 17 yo",
    "im 16",
    "i am 15 years old",
    "15 yo here",
    "15 m here",
    "a 15 year old girl here",
    "I'm fifteen",
    "I turned 16 last week",
    "my age is 15",
    "I'm a 15 year old boy",
    "I'm not 18 yet",
    "I'm under 18",
    "I'm a minor",
    "I'm underage",
    "I'm in 8th grade",
    "I was born in 2011",
    "I'm a schoolgirl",
    "btw 14",
    "мне 15",
    "мне 15 лет",
    "мне пятнадцать",
    "мне только 14",
    "мне всего 13",
    "мне ещё нет 18",
    "мне нет восемнадцати",
    "я школьница",
    "я несовершеннолетняя",
    "я ещё ребёнок",
    "я в 8 классе",
    "учусь в девятом классе",
    "я 2011 года рождения",
    "мне скоро 16",
    "мне исполнилось 14",
    "мой возраст 15",
    "я пятнадцатилетняя",
    "мне уже 16",
    "мне будет 15",
    "я малолетка",
)
REQUESTS = (
    "send me a selfie",
    "send me a photo",
    "send me a picture of you",
    "make a selfie of you",
    "draw yourself",
    "draw yourself dressed",
    "draw me a picture of you",
    "show me a photo of you in the park",
    "can you send a selfie",
    "i want a picture of you",
    "пришли селфи",
    "пришли фото",
    "нарисуй себя",
    "скинь фотку",
    "покажи себя",
    "сфоткайся для меня",
    "хочу твоё фото",
    "можно фотку в парке",
    "сгенерируй картинку",
    "сделай селфи",
)


@functools.cache
def findings(*texts: str) -> list[Finding]:
    return shared_screen().findings(*texts)


def is_of_user(*texts: str) -> bool:
    return any(
        found.subject is Subject.USER and found.rule.startswith("minor")
        for found in findings(*texts)
    )


@pytest.mark.parametrize("age", AGES)
def test_an_own_age_before_or_after_a_request_is_the_users(age: str) -> None:
    texts = [
        text
        for request in REQUESTS
        for text in (f"{age}, {request}", f"{request}, {age}", f"{age} {request}")
    ]

    assert [text for text in texts if not is_of_user(text)] == []
    assert [text for text in texts if not needs_reading(text)] == []


@pytest.mark.parametrize("age", AGES)
def test_an_own_age_in_the_message_before_or_after_is_the_users(age: str) -> None:
    assert is_of_user(age, "draw yourself")
    assert is_of_user("draw yourself", age)
    assert is_of_user(f"draw yourself! {age}")


@pytest.mark.parametrize(
    "parts",
    [
        ("I'm", "15, send me a selfie"),
        ("send me a photo, I'm", "only 14"),
        ("i'm fif", "teen, draw yourself"),
        ("I'm a", "minor, draw yourself"),
        ("мне", "15, пришли фото"),
        ("нарисуй себя, мне пят", "надцать"),
        ("я ещё", "ребёнок, нарисуй себя"),
    ],
)
def test_a_sentence_cut_over_two_messages_is_read_so_too(parts: tuple[str, str]) -> None:
    assert is_of_user(*parts)


@pytest.mark.parametrize(
    "text",
    [
        "15, send me a selfie",
        "send me a photo: only 14",
        "15 лет, скинь фотку",
        "пришли фото 14 лет",
        "пришли фото, мне 14",
        "as a 15 year old, can you send a selfie",
        "I'm 15 so draw yourself dressed",
        "send me a picture: I'm 15, make a selfie of you",
        "let's play, I'm 15 and you are my teacher",
        "you play my teacher, I'm a schoolgirl",
        "давай играть: я школьница, ты мой учитель",
        "ты играешь учителя, мне 15",
        "pretend to be my boss, i'm 16",
        'say "I am 15" and send me a selfie',
        "пришли фото, мне «15»",
    ],
)
def test_what_is_said_in_a_play_or_without_a_word_for_oneself_is_the_users_too(text: str) -> None:
    assert is_of_user(text)


def test_both_readings_are_found_where_an_age_may_be_a_role() -> None:
    subjects = {found.subject for found in findings("I'm 15, send me a selfie")}

    assert subjects >= {Subject.USER, Subject.PERSONA}


@pytest.mark.parametrize(
    "text",
    [
        "draw yourself as a 15 year old",
        "нарисуй себя в 15 лет",
        "you are 15, send me a selfie",
        "тебе 15, пришли фото",
        "pretend you're a schoolgirl",
        "Твоя роль: воспитанница детского дома, 11 лет.",
        "your character: Lin, 16, apprentice baker",
        "сыграй пятиклассника, который дневник дома забыл",
        "my sister is 15, send me a selfie",
        "моей сестре 15, пришли фото",
        "I'm 30, send me a selfie",
        "мне 25, нарисуй себя",
        "15 photos please",
        "пришли фото, мы дружим 15 лет",
        "пришли 15 фото",
    ],
)
def test_an_age_of_the_persona_or_of_others_is_not_the_users(text: str) -> None:
    assert not is_of_user(text)


@pytest.mark.parametrize(
    ("answer", "subjects"),
    [
        ("I'm 15, you are my teacher", {Subject.PERSONA, Subject.USER}),
        ("a squire, fifteen", {Subject.PERSONA}),
    ],
)
def test_who_answers_as_i_to_whom_they_play_speaks_of_themselves(
    answer: str, subjects: set[Subject]
) -> None:
    asked = Message(role="persona", text="And who am I talking to? Who am I?")
    found = shared_screen().findings(asked, Message(role="user", text=answer))

    assert {each.subject for each in found if each.subject} == subjects


def test_praise_is_no_class_of_the_user() -> None:
    findings = shared_screen().findings("Первый класс! Отличный сервис")

    assert Subject.USER not in {found.subject for found in findings}


def test_a_first_class_that_answers_a_question_is_the_users() -> None:
    asked = Message(role="persona", text="В каком ты классе?")

    findings = shared_screen().findings(asked, Message(role="user", text="Первый класс"))

    assert Subject.USER in {found.subject for found in findings}
