"""A number from 10 to 17, or a late year, is harmless only if something explains it."""

import datetime as dt

import pytest

from chatflow_hook.turn import Message
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
        # A person, and what belongs to them before the number.
        "другу из лагеря 13",
        "парню моей сестры пятнадцать",
        "15 брату, если что",
        "ей 13 от силы",
        "the girl next door is fifteen",
        "the lodger upstairs is 16 in june",
        "I'm going on fifteen",
        "she's all of 12",
        "he's just gone eleven",
        "внуку двенадцатый год идёт",
        "ей девять годочков",
        # Reckoned.
        "мне треть от сорока пяти",
        "Мать родила её в двадцать два, сейчас матери тридцать пять.",
        "5 cubed minus 110. That's how old I am.",
        "до 18 мне полтора года",
        "Шестнадцать зим встретила я в этом лесу.",
        "она вдвое младше своего двадцативосьмилетнего наставника",
        "сестре девятнадцать, а я родилась на четыре года позже",
        "everyone thinks I'm 18 but no",
        # A filler after a number is nothing that is counted, nor is a thing after a pause.
        "she's only 14 tho",
        "у неё днюха в субботу, 13 исполняется",
        "14 полных, на паспорт уже подала",
        "my passport says 15",
        "just gone fifteen, me",
        "мне в мае 17 будет",
        "какой ты была в 12",
        "im 8 lol",
        # A year beside a person or a proof of age.
        "я 09-го, а ты?",
        "born in '10 so yeah",
        "my ID says 2011",
        "мне ш€стн@дцать",
        # Classes and other languages.
        "мы с 6б едем в музей",
        "ch. 15 yo, new here",
        "Маша мальчиков нянчит",
        "я по закону ещё ребёнок",
        "她今年十四岁",
        "mám teď patnáct",
        "2012, Omsk",
        "мне 15 запятая живу в Перми",
        # A thing or a question elsewhere in the sentence explains no age.
        "what film can a 6 year old see on the train",
        "the scooter is for my niece who is nine",
        "is the pool cold, i'm 11",
        "does your 4 yr old sleep through",
        "we're all eleven in this team",
        "is it fine to be 14 and love trains",
        "mine will be seven in May",
        "i love chess but thirteen is young for a club",
        "thirteen tomorrow, cake for everybody",
        "I collect coins, 13",
        "собираю марки, 12",
        # Months and weeks of an infant, and ages by what comes once a year.
        "she's 7 months and crawls",
        "a nephew aged eight weeks",
        "the twins have just reached eighteen months",
        "I blew out nine candles",
        "a cake with twelve candles, please",
        "he has only had seven birthdays",
        "when she's 18 she inherits the farm",
        # Classes, teams and birthdays that are not called so.
        "our year 8s won the relay",
        "I coach the u12s",
        "starting y9 on Monday",
        "she's in p5 and sings",
        "a class 8 student from Pune",
        "I'm in class vii",
        "my brother's in 10th",
        "he wants a tent for his ninth",
        # Several ages, and a mother's.
        "mine are 6 and 9",
        "her sons, four and seven, are asleep",
        "dad was 31 when i was born and he's 44 now",
        # Russian years beside a person, after a pause, or at which something happens.
        "привезли пациента 13 лет",
        "на приёме курьер лет шестнадцати",
        "занимаюсь дома, 14 лет",
        "скалолазание в 9 лет, кто пробовал?",
        "какую книжку подарить двенадцатилетней",
        # Months of a baby, and a person who is called by an adjective.
        "творог в 7 мес уже дают?",
        "рыжему нашему пять месяцев",
        "кудрявой 4, боится стрижки",
        "ему 2, и он упрямый",
        # Without the word for years.
        "в 14 можно подрабатывать?",
        "устала быть 12",
        "16 лвл тут",
        "до 18 далеко",
        # Classes.
        "Тимур в восьмом, а брат учится дома",
        "брат заканчивает шестой",
        "дежурим, второй «Б», по столовой",
        "7в, опять контрольная",
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
        "back in 15",
        "каб. 11",
        "нужно 9 на 16",
        "мне триста двенадцать, я вампир",
        "ставь minor-патч",
        "это Паша Детков с работы",
        "you in a three-piece suit",
        "five-a-side tonight",
        "the 15 train is late",
        "a 12 bedroom house",
        "youngest of four",
        "Android 14 ate my battery, going back to 13",
        "десять лет мы не виделись",
        "три года не пью",
        "нам с женой 15 лет",
        "знакомы 12 лет",
        "plumber, 17 years",
        "Roll for initiative, I got a 15.",
        "cfg 7, steps 30",
        "it's a model from 2016",
        "мне двадцативосьмилетний коллега помог",
        "track 13 is the best one",
        "a charger of twelve volt",
        "15 quid for a coffee",
        "earns 14 an hour",
        "11 is the number of our bus",
        "he is six foot three",
        "unit 12, second floor",
        "married 16 years, still happy",
        "I'm four years off sixty",
        "grade 8 steel, please",
        "5s and 9s are hard to tell apart",
        "the whisky's 12 year old, from Islay",
        "this cheese is aged nine months",
        "you'll need ten ideas for it",
        "сижу в восьмом кабинете, заходи",
        "кабель третьего класса защиты",
        "старый шкаф, 12 лет, самовывоз",
        "до пенсии ещё 4 года",
        "между нами шесть лет",
        "повар 9 лет ворчит на соседей",
        "Ленина, дом 8б",
    ],
)
def test_what_counts_labels_or_dates_something_is_no_age(text: str) -> None:
    assert SCREEN.conversation(text) == CLEAR


@pytest.mark.parametrize(
    "said",
    [
        ("сколько ему лет?", "Вину? Шестнадцать лет."),
        ("how old?", "the sofa? 9 years"),
        ("твоя машина сколько лет?", "Десять."),
        ("сколько лет в браке?", "Двенадцать."),
        ("давно вы тут живёте?", "шесть лет"),
        ("Бросай кубик.", "16"),
    ],
)
def test_an_answer_about_a_thing_or_a_span_is_no_age(said: tuple[str, str]) -> None:
    question, answer = said

    found = SCREEN.conversation(
        Message(role="persona", text=question), Message(role="user", text=answer)
    )

    assert found == CLEAR


def test_a_later_question_is_not_answered_with_an_age() -> None:
    said = ("Age?", "52.", "Job?", "Bookkeeper. 17 years at the same firm.")

    found = SCREEN.conversation(
        *(Message(role="user" if at % 2 else "persona", text=text) for at, text in enumerate(said))
    )

    assert found == CLEAR


def test_a_couple_in_the_message_before_explains_no_age() -> None:
    found = SCREEN.conversation(
        Message(role="user", text="пойдём вместе в кино, потом на свадьбу"),
        Message(role="persona", text="Сколько лет?"),
        Message(role="user", text="15"),
    )

    assert found != CLEAR


def test_an_age_that_follows_another_answer_is_noticed() -> None:
    found = SCREEN.conversation(
        Message(role="persona", text="how old are you?"),
        Message(role="user", text="wait"),
        Message(role="persona", text="well?"),
        Message(role="user", text="15"),
    )

    assert found != CLEAR
