"""When a number is an age in English; pure."""

import functools

from imagegen.safety import age_subject, numbers, word_classes
from imagegen.safety.age_context import NO_FORMS, Forms, NumberContext, is_english_plural, word_set
from imagegen.safety.lexicon import shipped_lexicon

# What a number may count besides years of age.
UNITS: Forms = word_set(
    "second minute hour day week month mile meter metre kilometer kilometre km kilo kg gram pound"
    " percent degree euro dollar buck page time cent o am pm people person men women feet foot inch"
    " all block step floor stop point cm mm ml litre liter oclock out more of min mins sec secs hr hrs wks"
    " lb lbs oz ft kcal px fps bpm inch inches pcs pc xp pts"
)
UNTIL: Forms = word_set(
    "and or but so for with who in at on wearing standing sitting looking is was year years yr yrs old"
    " summers winters springs"
    " next last this now today again tomorrow soon n y lol haha btw fyi rn tho cuz bc til till until she he"
    " they it my your his her nobody everybody everyone someone"
)

_YEARS = word_set("year years yr yrs y summers winters springs")
_MONTHS = word_set("month months week weeks")
_DAYS = word_set("day days hour hours hr hrs")
_HAVE = word_set("have has ve")
_HE_OR_SHE = word_set("he she hes shes they theyre who")
_MAX_MONTHS = 36
_FIRST_TIMES = word_set("first since")
SHORT_YEARS: Forms = word_set("yr yrs")
_OLD = word_set("old o young age")
_YEARS_OLD = word_set("yo yos ish летний летн летие")
_AGED = word_set("aged age ages возраст")
_TO_BE_AGE = word_set("my is s that in")
_TURNING = word_set(
    "pushing rising nearing approaching turnin turn turns turned turning hit hits being became reached"
)
_SPAN_BEFORE = word_set(
    "for in after than last past next within over since every took these those first whole"
)
_SPAN_AFTER = word_set(
    "ago later since together before experience apart with of as married divorced widowed single sober clean strong running straight"
    " love forever down passed"
)
_UNTIL_THEN = word_set("until till til off from short shy to")
_IN_WORK = word_set("into retired")
_TENS = word_set("thirty forty fifty sixty seventy eighty ninety retirement pension")
_LATEST_MAJORITY = 21
_FILLERS = word_set(
    "also um uh er erm hmm well only just about like barely basically around almost nearly now still already maybe probably roughly"
    " approximately not even yet currently actually really literally exactly under below"
    " between at most least gone be been being going to gonna will would ll d may might must could"
    " t won wont isn aren ain haven hasn don didn should approx circa basically kinda sorta"
)
TO_BE: Forms = word_set("am is are m re s im youre shes hes ur ure r was were been be isn aren")
_TO_LOOK = word_set("look looks looked looking appear appears seem seems acts feel feels")
_PAST = word_set("was were")
_SOMEBODY = word_set("i im you youre u ur ure she shes he hes we they who sis girl boy gf bf")
_THINGS = word_set(
    "it its that this there here what which time clock size number score temperature price cost"
    " total bill fare dinner lunch taxi rating level chapter room page version floor bus train film movie show meeting date"
    " answer result car house flat cat cats dog dogs pet horse bike phone computer laptop tree"
    " wine whisky whiskey cheese company firm building ticket class battery speed grade count"
    " кошка кот собака машина дом"
)
_PERSONS = word_set(
    "girl boy lad lass guy child kid student pupil teen person lady woman man female male face figure body"
    " beauty prince princess squire knight orphan apprentice twin cousin daughter son sister brother niece chick babe"
)
_SEXES = word_set("f fem female girl boy male lady woman")
# What follows an age in other languages that are written in Latin letters.
_FOREIGN_YEARS = word_set(
    "ans anos anni jahre jahren jahr lat lata jaar yas yasinda yasindayim år ar vuotta"
)
_FOREIGN_OPENERS = word_set("bin tengo ho tenho mam ai hab tiene ha мені мени йому їй")
_EACH = word_set("all both each")
_BELOW = word_set("under below")
_THAN = word_set("younger less")
_NEARLY = word_set("almost nearly barely yet")
AFTER_AN_AGE: Forms = word_set(
    "and n y lol haha btw fyi rn tho cuz bc til till until now today but so or already again tomorrow yet soon и а"
)
_TEENS = range(10, 19)
_LATE_TEENS = range(13, 18)
_YEARS_OF_LIFE = range(8, 19)
# "A six-year-old", and not "six years old".
_AS_ATTRIBUTE = word_set("year yr y month week day hour")
_OLD_ATTRIBUTES = word_set("old olds o")
_ATTRIBUTES = word_set("yo yos yrold yearold")
_BEFORE_ATTRIBUTE = word_set("a an the this that my our your his her their one")
_OWN = word_set("my our your his her their")
_TURNED = word_set("turn turns turned")
_WHEN = word_set("when once until till til")
_CAKE = word_set("cake")
_BLEW = word_set("blow blows blew blowing blown")
_YEARLY = word_set("birthdays winters summers springs")
_LIVED = word_set("had seen lived celebrated known")
_ROUNDS, _SUN = word_set("trips trip laps lap orbits rounds spins times turns"), word_set("sun")
_LEFT_OUT = word_set("be")
_NEVER_THINGS = word_set("i im you youre u we mine ours yours")
# A word that begins something new after a number, so that nothing after it is counted.
BEGINS_ANEW: Forms = word_set(
    "i im ive id ill you u ur we the a an this that these those same what which how when where why can do does did"
    " don doesn didn am if because although like next"
)
# Units of which nobody would say them right after an age.
_MEASURES = word_set(
    "stone celsius fahrenheit gb mb tb kb ghz mhz khz karat carat karats carats mg ppl million billion trillion"
    " quid watt watts volt volts mbit mbps kw kwh rpm ghz psi acre acres pint pints knot knots"
)
# Units only right after the number: "12 what grade am I in".
_UNITS_RIGHT_AFTER = word_set("am pm o of out more all second page")
_ALIVE = word_set("alive earth planet")
_BIRTHDAY = word_set("birthday bday birth")
_MIN_AGE = 2
# After these, a noun belongs to the one before: "the girl next door", "the boy in the story".
_BELONGING = word_set(
    "in on at from of with next across down up near by behind opposite over under"
)


def is_age(context: NumberContext) -> bool:
    """Whether the number is somebody's age."""
    if context.number.is_ordinal:
        return (
            bool(context.word_after & _BIRTHDAY)
            or _is_year_of_life(context)
            or _is_coming_birthday(context)
        )
    if context.word_after & _YEARS and context.near(_ALIVE, before=4, after=6):
        return True
    return (
        _has_years(context)
        or _is_of_life(context)
        or _is_of_an_infant(context)
        or _has_age_word(context)
        or _is_age_limit(context)
        or _is_of_somebody(context)
    )


def is_of_a_person(context: NumberContext) -> bool:
    """Whether a number is the age of a person by how it is said: "a 5 year old gets", "who is six"."""
    if context.word_after & {"years", "year"} and context.second_after & {"of"}:
        return context.near(frozenset({"age"}), after=3)
    if context.word_before & {"being"} or _is_to_be(context) or _is_at_an_age(context):
        return True
    if _is_attribute(context):  # a squire of six
        return True
    opener = context.opener(_FILLERS | _EACH)
    last = opener[-1] if opener else NO_FORMS
    who = opener[-2] if len(opener) > 1 else NO_FORMS
    has_been_left_out = context.near(_LEFT_OUT, before=len(context.before) - len(opener))
    if (last & TO_BE and who & ({"who"} | _NEVER_THINGS)) or (
        has_been_left_out and last & _NEVER_THINGS
    ):
        return True
    return _is_an_attribute(context)


def _is_to_be(context: NumberContext) -> bool:
    earlier = context.before[-2] if len(context.before) > 1 else NO_FORMS
    return bool(context.word_before & {"be"} and earlier & {"to"})


def _is_an_attribute(context: NumberContext) -> bool:
    """Whether somebody is called by an age: "my 9 yr old", and not "is a 12 year old"."""
    is_one = not _ATTRIBUTES.isdisjoint(context.words_after[:1]) or (
        not _AS_ATTRIBUTE.isdisjoint(context.words_after[:1])
        and not _OLD_ATTRIBUTES.isdisjoint(context.words_after[1:2])
    )
    if not is_one:
        return False
    if context.word_before & _OWN:
        return True
    if context.word_before & {"s"}:  # "the whisky's 15 yo", but "my friend's 2 year old"
        things = age_subject.subject_words()["things"]
        return not any(
            word in things or word_classes.is_thing(word) for word in context.words_before[-2:-1]
        )
    opener = context.opener(_FILLERS | _BEFORE_ATTRIBUTE)
    return not opener or not opener[-1] & TO_BE


def counts_years_of_life(context: NumberContext) -> bool:
    """Whether years are told by what comes once in each: "15 trips around the sun", "seen 14 winters"."""
    if context.word_after & _ROUNDS and context.near(_SUN, after=4):
        return True
    return bool(context.word_after & _YEARLY) and context.near(_LIVED, before=3)


def has_candles(context: NumberContext) -> bool:
    """Whether a number is that of the candles on a birthday cake."""
    is_cake = context.near(_CAKE | _BLEW, before=5, after=5)
    return bool(context.word_after & {"candles", "candle"}) and is_cake


def is_counted(context: NumberContext) -> bool:
    """Whether a number counts a unit or an English plural that belongs to it."""
    for at, (word, forms) in enumerate(zip(context.words_after[:3], context.after, strict=False)):
        if forms & UNTIL or word in BEGINS_ANEW:
            return at == 0 and bool(forms & _UNITS_RIGHT_AFTER)
        if at == 0 and forms & _MEASURES:
            return True
        if forms & UNITS and (at == 0 or not forms & _UNITS_RIGHT_AFTER):
            return True
        if word_classes.is_verb(word) and not word_classes.is_thing(word):
            return False
        if any(map(is_english_plural, forms)):
            return True
    return False


def is_to_come(context: NumberContext) -> bool:
    """Whether somebody is not yet so old: "when I'm 18", "I wish I was eighteen"."""
    opener = context.opener(_FILLERS | {"ve", "have", "has", "s"} | _TURNED)
    if len(opener) > 1 and opener[-1] & _PAST and context.near(frozenset({"wish"}), before=5):
        return True
    words = [*opener[-1:]] if not opener[-1:] or opener[-1] & _SOMEBODY else [*opener[-2:-1]]
    who = words[0] if words else NO_FORMS
    is_now = not opener[-1:] or not opener[-1] & _PAST
    return bool(who & _SOMEBODY) and is_now and context.near(_WHEN, before=5)


def is_span(context: NumberContext) -> bool:
    """Whether a number of years is a span of time."""
    if context.second_after & {"at", "with"} and any(
        map(word_classes.is_thing, context.words_after[2:5])
    ):
        return True  # "17 years at the same firm"
    if _is_until_then(context) or context.word_before & {"together", "married"}:
        return True
    return bool(context.word_before & _SPAN_BEFORE) or context.near(_SPAN_AFTER, after=3)


def _is_until_then(context: NumberContext) -> bool:
    """Whether years are left, or have passed, until something: "three years off 50"."""
    if not context.word_after & _YEARS:
        return False
    is_until = context.second_after & _UNTIL_THEN and any(map(_is_late, context.words_after[2:7]))
    return bool(is_until or context.second_after & _IN_WORK)


def _is_late(word: str) -> bool:
    """Whether a number is an age that only adults are some years away from."""
    return word in _TENS or (word.isdecimal() and int(word) > _LATEST_MAJORITY)


def _is_of_a_person(context: NumberContext) -> bool:
    return age_subject.person_of(context) is not None


def _is_year_of_life(context: NumberContext) -> bool:
    is_own = context.word_before & {"my", "his", "her", "your"}
    return bool(is_own and context.word_after & {"year"}) and context.value in _YEARS_OF_LIFE


def _is_coming_birthday(context: NumberContext) -> bool:
    """Whether a birthday is meant that is not called one: "for my 11th I want a drum kit"."""
    is_own = context.word_before & {"my", "his", "her", "your"}
    is_for = len(context.before) > 1 and context.before[-2] & {"for"}
    is_alone = not context.after or context.word_after & (BEGINS_ANEW | UNTIL)
    return bool(is_own and is_for and is_alone)


def _has_years(context: NumberContext) -> bool:
    if context.word_after & _FOREIGN_YEARS or (
        context.value in _TEENS
        and not _FOREIGN_OPENERS.isdisjoint(context.words_before[-1:])
        and not (_is_counted(context) and any(map(word_classes.is_thing, context.words_after[:1])))
    ):
        return True
    is_old = context.word_after & _YEARS_OLD or (
        context.word_after & (_YEARS | _MONTHS | _DAYS)
        and (
            context.second_after & _OLD
            or (context.second_after & {"of"} and context.near(_OLD, after=3))
        )
    )
    # `5ish` is a time of day, `15ish` an age.
    return bool(is_old) and (not context.word_after & {"ish"} or context.value in _TEENS)


def _is_of_life(context: NumberContext) -> bool:
    """Whether years are counted by what comes once in each: "blew out eleven candles"."""
    if has_candles(context):
        return context.near(_BLEW, before=5) or context.near(_OWN, before=4, after=4)
    if context.word_after & _YEARS and context.word_before & {"lived"}:
        return len(context.after) == 1  # "I have lived 13 years", but "lived 13 years in Rome"
    return counts_years_of_life(context)


def _is_of_an_infant(context: NumberContext) -> bool:
    """Whether somebody is so many months or weeks old: "she's 5 months", "aged ten months"."""
    if not context.word_after & _MONTHS or context.value > _MAX_MONTHS:
        return False
    if context.word_before & _AGED:
        return _is_of_a_person(context)
    if not (context.second_after <= AFTER_AN_AGE or context.second_after & AFTER_AN_AGE):
        return False
    if context.starts_clause and len(context.after) == 1:  # Jonah, eleven months,
        return _is_person(context, len(context.before) - 1)
    opener = context.opener(_FILLERS | _HAVE)
    if not opener or not opener[-1] & (TO_BE | _TURNING):
        return False
    at = len(opener) - 2
    while at >= 0 and opener[at] & (_FILLERS | _HAVE):
        at -= 1
    is_he_or_she = opener[-1] & _HE_OR_SHE or (at >= 0 and opener[at] & _HE_OR_SHE)
    return bool(is_he_or_she) or _is_person(context, at)


def _has_age_word(context: NumberContext) -> bool:
    earlier = context.before[-2] if len(context.before) > 1 else NO_FORMS
    if _is_at_an_age(context):
        return not _is_counted(context)
    if context.word_before & {"act", "play", "pretend"} and not context.after:
        return context.value in _TEENS
    if context.word_before & _TURNING:
        is_of_a_couple = context.word_after & _YEARS and context.near(frozenset({"we"}), before=3)
        return not _is_counted(context) and not is_of_a_couple
    if context.word_before & _AGED or (
        context.near(_AGED, before=4)
        and context.word_before & {"of", "is", "это", "s", "my", "between", "and", "from", "to"}
    ):
        return not _is_counted(context)
    if context.word_after & {"agewise"} or (
        context.near(_AGED, after=4) and context.near(_TO_BE_AGE, after=3)
    ):
        return not _is_counted(context)
    if (context.word_before & {"o"} and earlier & {"y"}) or (
        context.word_after & {"going"} and context.second_after & {"on"} and context.value in _TEENS
    ):
        return True
    if _stands_beside_a_person(context):
        return True
    if _is_attribute(context):
        return not _is_counted(context)
    return bool(context.word_after & _SEXES) and context.value in _TEENS


def _is_at_an_age(context: NumberContext) -> bool:
    """Whether something is so at an age that is no time of the English clock: "alone at 14"."""
    if not context.word_before & {"at"} or context.value not in _LATE_TEENS:
        return False
    if context.word_after & _SOMEBODY:
        return True  # "at thirteen I knew"
    if not context.after and context.near(_SOMEBODY, before=6):
        return True
    return (
        _is_of_a_person(context)
        and not context.near(_FIRST_TIMES, before=6)
        and not context.word_after & {"or", "and", "on", "hundred"}
        and not any(map(_is_of_long_ago, context.clause_before))
    )


def _stands_beside_a_person(context: NumberContext) -> bool:
    """Whether a number alone is that of a person before it: "my sister, 14,", "my girls, 10 and 12"."""
    if context.word_before & _PERSONS and not context.after and context.value in _TEENS:
        return True
    is_apart = context.starts_clause and context.value >= _MIN_AGE and _is_alone(context)
    return is_apart and _is_person(context, len(context.before) - 1)


def _is_of_long_ago(word: str) -> bool:
    """Whether a verb tells of the past, where somebody may be of any age now."""
    return word in {"had", "was", "were", "did"} or (
        word.endswith("ed") and word_classes.is_verb(word)
    )


def _is_alone(context: NumberContext) -> bool:
    """Whether nothing is said after a number but another one."""
    after = [forms for forms in context.after if not forms & {"and"}]
    return len(after) <= 1 and all(map(_is_number, context.words_after[-1:] if after else ()))


def _is_number(word: str) -> bool:
    return word.isdecimal() or numbers.is_number_word(word)


def _is_attribute(context: NumberContext) -> bool:
    """Whether a number stands after "a squire of some"."""
    opener = context.opener(_FILLERS | {"some"})
    return len(opener) > 1 and bool(opener[-1] & {"of"}) and bool(opener[-2] & _PERSONS)


def _is_age_limit(context: NumberContext) -> bool:
    if context.number.is_plural:
        return bool(context.word_before & {"under"})  # "the under 9s"
    if context.value not in _TEENS or _is_counted(context) or context.near(_THINGS, before=3):
        return False
    if context.word_before & {"gone"} and context.value in _LATE_TEENS and not context.after:
        return True  # "just gone fifteen"; up to twelve it is the time
    earlier = context.before[-2] if len(context.before) > 1 else NO_FORMS
    return bool(
        context.word_before & (_BELOW | _NEARLY)
        or (context.word_before & {"than"} and earlier & _THAN)
        or (context.word_before & {"turned"})
    )


def _is_of_somebody(context: NumberContext) -> bool:
    if _is_to_be(context):
        return context.value in _TEENS and not _is_counted(context)
    opener = context.opener(_FILLERS | _EACH)
    last = opener[-1] if opener else NO_FORMS
    if last & _SOMEBODY and len(opener) > 1 and opener[-2] & TO_BE:  # are you 15
        return not _is_counted(context)
    # "she will be 15": `will be` are fillers, so the word before them is the person.
    was_left_out = context.near(frozenset({"be"}), before=len(context.before) - len(opener))
    if last & _SOMEBODY and was_left_out:
        return not _is_counted(context)
    if last & TO_BE and context.value in _TEENS and _is_person(context, len(opener) - 2):
        return not _is_counted(context) and not context.near(_SPAN_AFTER, after=3)
    who = opener[-2] if len(opener) > 1 else NO_FORMS
    is_of_somebody = (who | last) & _SOMEBODY and last & TO_BE and context.value >= _MIN_AGE
    if is_of_somebody and not last & _PAST:
        is_span = context.near(_SPAN_AFTER, after=3) or _is_until_then(context)
        return not _is_counted(context) and not is_span
    if not last & (TO_BE | _TO_LOOK) or any(forms & _THINGS for forms in opener[-4:]):
        return False
    if last & (_TO_LOOK | _PAST) and context.value >= _MIN_AGE:
        return not _is_counted(context) and not context.word_after & _YEARS
    return not context.word_after or bool(context.word_after & AFTER_AN_AGE)


def _is_person(context: NumberContext, at: int) -> bool:
    """Whether the word at an index before the number, or that to which it belongs, is a person."""
    words = context.words_before
    while at > 1 and (
        preposition := next((i for i in (at - 1, at - 2) if words[i] in _BELONGING), 0)
    ):
        at = preposition - 1
    return at >= 0 and (
        age_subject.is_person(context.before[at])
        or word_classes.is_person(words[at])
        or words[at] in _first_names()
    )


@functools.cache
def _first_names() -> Forms:
    return frozenset(shipped_lexicon("names")["first"])


def _is_counted(context: NumberContext) -> bool:
    return is_counted(context)
