"""Does a message ask for a picture? Read from its words, in English and Russian, without a model.

The patterns match beginnings of words, so no dictionary is needed; a message takes some
microseconds. They look at one sentence at a time, and prefer to miss a request to drawing a picture
that nobody wants: a picture costs a minute of a GPU and a part of the user's share.
"""

import enum
import re
from functools import cache

# Of a longer text the end is read.
_READ_SIGNS = 600


class PictureIntent(enum.Enum):
    """What the words of a message say about a picture."""

    ASKS = enum.auto()
    # It names pictures and wants none.
    DECLINES = enum.auto()
    UNCLEAR = enum.auto()


def wants_picture(text: str, *, model_says: bool | None = None) -> bool:
    """Return whether a message asks for a picture; `model_says` decides where the words do not."""
    match read_intent(text):
        case PictureIntent.ASKS:
            return True
        case PictureIntent.DECLINES:
            return False
        case PictureIntent.UNCLEAR:
            return bool(model_says)


def read_intent(text: str) -> PictureIntent:
    """Return what a message says about a picture; the last sentence that says something counts."""
    for sentence in reversed(_sentences(text)):
        if _any_of(_DECLINES).search(sentence):
            return PictureIntent.DECLINES
        if _any_of(_ASKS).search(sentence) and not _any_of(_OF_OTHERS).search(sentence):
            return PictureIntent.ASKS
    return PictureIntent.UNCLEAR


def _sentences(text: str) -> list[str]:
    text = text[-_READ_SIGNS:].lower().replace("ё", "е").replace("’", "'")
    text = re.sub(r"(\w)\1{2,}", r"\1", text)  # pleeease, фотооо
    parts = re.split(r"[.!?…\n]+|\s[—–-]\s", text)
    return [" ".join(part.split()).strip(" ,;:") for part in parts if part.strip()]


# At the first message and not at the import, which a bot pays that never asks.
@cache
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{_expanded(pattern)})" for pattern in patterns))


def _expanded(pattern: str) -> str:
    pattern = re.sub(r"(?<!\d)\}", ")", re.sub(r"\{(?!\d)", "(?:", pattern))
    return re.sub(r"<(\w+)>", lambda name: f"(?:{_WORDS[name[1]]})", pattern)


# Groups of words that the patterns name as <name>. In a pattern { } is a group.
_WORDS = {
    "pic": r"\b(?:photo|photograph|pic|picture|selfie|image|portrait|drawing|snapshot|nude)s?\b"
    r"(?! (?:album|studio|stick|quality|button|editor)\b)",
    "shot": r"\b(?:snap|shot)s?\b",
    # The verb is a command: at the beginning, after a comma or a polite word, or asked of "you".
    "do": r"(?:^|[,;:] ?|\b(?:please|pls|just|now|then|so|and|hey|ok|well|can you|can u|could you"
    r"|will you|would you|can you please|could you please|you could|you should|you can"
    r"|why don't you|why not|you to) )",
    "give": r"(?:send|show|share|give|post|drop|take|snap|make|do(?! (?:you|u|we|they|i))|shoot|text|dm)",
    "see": r"\b(?:see|look at|have a look at)\b",
    "wish": r"\b(?:i want to|i wanna|wanna|i wish i could|i would like to|i'd like to"
    r"|i would love to|i'd love to|let me|let's|lets|can i|could i|may i|can we|could we"
    r"|great to|nice to|lovely to|i need to)",
    # What of the persona can be seen, and what is around her.
    "thing": r"(?:dress|outfit|face|smile|eyes|hair|hands?|legs?|tattoo|room|garden|house|flat|place"
    r"|view|kitchen|cat|dog|shoes|clothes|sunset|sunrise|sea|beach|mountains?|city|sky|body|look"
    r"|figure|cake|dinner|breakfast|window|street|forest|lake)",
    "end": r"(?: (?:right now|now|today|tonight|please|pls|too|again please))*$",
    "рис": r"\b(?:фото|фот(?:к|оч)\w*|фоток|фотограф(?:ия|ию|ии|ий|ией|иями)|картин(?:к\w*|ок)"
    r"|картину|селфи\w*|сним(?:ок|ки|ков|ка)|пикч\w*|портрет\w*|рисун(?:ок|ка|ки)|кадр\w*|нюдс\w*)\b",
    "дай": r"\b(?:пришли|пришлите|пришлешь|присылай|скинь|скиньте|скинешь|скидывай|отправь|отправишь"
    r"|отправляй|кинь|кидай|кинешь|дай|давай|сделай|сделаешь|покажи|покажешь|поделись|вышли|вышлешь"
    r"|высылай|запости|выложи|сними|дашь)\b(?! замер)",
    "дать": r"\b(?:прислать|скинуть|отправить|кинуть|показать|сделать|выслать|запостить)\b",
    "могла": r"\b(?:можешь|могла бы|мог бы|могла|сможешь|почему бы тебе не|почему бы не)\b",
    "хочу": r"\b(?:хочу|хочется|хотел бы|хотела бы|вот бы|можно|мог бы я|здорово|дай|хотелось бы"
    r"|мечтаю|не терпится)",
    "видеть": r"\b(?:увидеть|посмотреть|взглянуть|видеть|глянуть)\b",
    "твое": r"\b(?:тво[йяею]\w*|свое|свой|свою|своих|свои|себя)\b",
    "вещь": r"\b(?:мор[ея]|горы|закат\w*|рассвет\w*|город|улиц\w+|комнат\w+|кухн\w+|сад|дом|вид|лес"
    r"|озеро|пляж|небо|руки|лицо|улыбк\w+|глаз\w+|волосы|ноги|тату\w*|плать\w+|наряд\w*|одежд\w+"
    r"|кошк\w+|кота|собак\w+|торт|ужин|завтрак|фигур\w+|прическ\w+)\b",
}

_DECLINES = (
    r"\b{don't|do not|dont|never|stop|without|no need to|enough|no more|not want|didn't} .*<pic>",
    r"\bno <pic>",
    r"\b{не надо|не нужно|не нужны|не нужна|хватит|перестань|прекрати|без|больше не|никаких}\b.*<рис>",
    r"\bне {хочу|присылай\w*|шли|слать|скидывай|кидай|отправляй|показывай|делай|рисуй}\b.*<рис>?",
    r"\bне {фотографируй|фоткай|рисуй|снимай}\w*",
    r"\b{hide|delete|report|remove|save|edit|describe|keep}\b .*<pic>",
    r"\b{скрой|удали|сохрани|пожаловаться|опиши|расскажи|убери}\b.*<рис>",
)

# Whoever says this speaks of pictures of somebody else, or is the one who gives them.
_OF_OTHERS = (
    (
        r"\b{i|i'll|i will|we|he|she|they|who|people|boss|friend|let me|may i|can i|should i|did you"
        r"|want me to|me to} {to |will |just |already |should }*{send|sent|show|showed|took|take|post"
        r"|share|shared|draw|drew|paint|made|make|printed|deleted|found|asked him|asked her}\b"
    ),
    r"\b{для|на} {паспорт|документ|визу}",
    r"\b{passport|visa|wedding|x-ray|profile}\b",
    (
        r"\b{я|мы|он|она|они|мне|нам|тебе} {тебе |вам |ему |ей |уже |вчера |сегодня |потом }*"
        r"{пришлю|прислал\w*|сфотк\w+|сделал\w*|покажу|показал\w*|нарисую|нарисовал\w*|скину|скинул\w*}"
    ),
    r"\b{ему|ей|им|маме|папе|другу|подруге|him|her|them|mom|dad}\b",
)

_ASKS = (
    # English: send me a picture, take a selfie, can you share a photo.
    r"<do><give>\b.*<pic>",
    r"<do><give>\b {me |us }?{a |your |another |one more |the |best }*<shot>",
    r"\b{mind|consider} {sharing|sending|taking|showing|posting}\b.*<pic>",
    # Show me you.
    (
        r"<do>show {me |us }?{yourself|you|what you're wearing|what you are wearing|what you wear"
        r"|where you are|how you look\b.*|what you look like}<end>"
    ),
    r"<do>show {me|us} {your|the|a} {\w+ }{0,2}<thing>\b",
    r"\bwhat {are you|you're} wearing,? show me|^show me<end>",
    # I want to see you.
    r"<wish> {see|look at|have a look at} {\w+ }{0,3}<pic>",
    r"<wish> {see|look at|have a look at} {you|yourself}{<end>| {in|on|wearing|with} .*}",
    r"<wish> {see|look at|have a look at} {your|that} {\w+ }{0,2}<thing>\b",
    r"<wish> see how you look\b",
    # Words for a wish, and the picture.
    (
        r"\b{i want|i'd like|i would like|i'd love|can i {have|get}|could i {have|get}|can we have|may i have"
        r"|could we have} {a|an|one|another|some|your} {\w+ }{0,2}<pic>"
    ),
    r"\bi need {a|another|your} {\w+ }{0,2}<pic>{ of {you|us}}",
    r"\b{how about|what about|any chance of|waiting for} {\w+ }{0,2}<pic>",
    r"\b{promised|owe} me {\w+ }{0,2}<pic>",
    r"\bwhere{'s| is| are} my <pic>",
    r"^{i }?asked {you }?for {a|my|your} <pic>",
    r"\b{got|do you have|have you got|are there} {any|a|some} {\w+ }{0,1}<pic>",
    r"^<pic> or it",
    r"<pic>.* would make my day",
    # The picture alone: "photo", "selfie please", "photo of you on a horse, please".
    r"^{just |only |another |one |one more |a |any |your |new |my }*<pic>{ of {you|us}.*}?{,? {please|pls}}?$",
    r"\b<pic>.*\b{please|pls}$",
    r"\b{please|pls},? {another |one |a }*<pic>{ .*}?$",
    # Draw.
    (
        r"<do>{draw|paint|illustrate|sketch} (?!your own conclusions|a card|me a bath|the line|a line"
        r"|the curtains|the fence|your point|the blinds|on)\w+"
    ),
    r"<do>{generate|render|create} {\w+ }{0,3}<pic>",
    r"\bturn .* into {a|an} {\w+ }?<pic>",
    # Russian: пришли фото, можешь прислать фото.
    r"<дай>.*<рис>",
    r"<рис> {\w+ }{0,2}<дай>$",
    r"<могла>{ бы}?{ мне| и}?.*{<дать>.*<рис>|<рис>.*<дать>}",
    (
        r"^{и |ну |а }*сфот\w+{й|йте|йся}\b|\b{сфоткай|сфоткайся|сфотографируй|сфотографируйся|щелкни|покажись"
        r"|нарисуй|изобрази|сгенерируй .*<рис>|проиллюстрируй}\b"
    ),
    r"\bсними себя\b",
    r"\b{покажи|покажешь}{ мне}?,? {себя|во что ты|как ты выгляд\w+|где ты\b|что на тебе}",
    r"\bпокажи{ мне}? {{свою|свой|свое|свои|твой|твою|твое|твои|этот|эту} }?<вещь>",
    r"\bчто на тебе надето,? покажи|^{ну |а }*покажи$",
    # Хочу тебя увидеть.
    r"<хочу>.* <видеть>{ на}? тебя{$| {в|на|с|сейчас}\b.*}|<хочу>{ на}? тебя <видеть>{$| {в|на|с|сейчас}\b.*}",
    r"<хочу>.* <видеть>{ на}? {тво\w+|свои|эту|этот}( \w+)? ?<вещь>|<хочу>.* <видеть>{ на}? {тво\w+} {комнат|сад|дом|кухн}",
    r"<хочу>.* <видеть>.*{как ты выглядишь|<рис>}",
    # Words for a wish, and the picture.
    (
        r"\b{можно|хочу|хочется|хотел бы|хотела бы|прошу|просил|просила|жду|обещала мне|обещал мне|как насчет"
        r"|шанс на}{ \w+}{0,2} <рис>"
    ),
    r"\bнуж{на|но|ен|ны} {мне }?тво\w+ <рис>",
    r"\bесть {тво\w+ |какие-нибудь |еще }?{\w+ }?<рис>",
    r"\bгде {мо\w+|твои|обещанн\w+} <рис>",
    r"<рис>{ \w+}? будет$|<рис> в студию|^<рис> или не было",
    r"^{а |ну |и |еще |одну |всего |только |одно |твое |твою |новое |новую }*<рис>{,? {плиз|пожалуйста|пж|прошу}}?$",
    r"<рис>.*\b{плиз|пожалуйста|пж|прошу}$",
    r"\b{плиз|пожалуйста|пж},? {одну |еще }*<рис>$",
)
