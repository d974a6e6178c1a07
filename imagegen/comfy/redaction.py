"""Removes paths, tracebacks and prompt texts from a host's error messages; pure.

A host writes its messages for its own operator: with paths of its disk, tracebacks, and sometimes
the prompt. Our error sentences go into logs, the database and chats.

A host may write the prompt in another form than it was given: with other separators (`red_hair`),
weights (`(red:1.1)`), tokens (`red</w>`), escapes of JSON, URLs, HTML or Python, in another case, in
pieces or in another order. So words are compared by their letters alone.
"""

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

REDACTED = "…"

# Characters of a message that are read; bounds the time that the patterns below take.
_READ_LENGTH = 2000
# A text of a graph counts as written by a person, and not as a name or a setting, if it has more
# than three words, or several words and more than 40 characters, or several words in a node that
# encodes texts.
_FEW_WORDS = 3
_FEW_CHARACTERS = 40
# In a message it is recognised by three words in a row (or all of them, if it has but two), by one
# word of at least 16 characters, by 12 letters in a row, with or without anything between them, or
# by three different words of at least five letters in any order.
_RUN = 3
_LONG_WORD = 16
_LETTERS_IN_A_ROW = 12
_TELLING_WORDS = 3
_TELLING_LETTERS = 5

# In scripts without spaces (kana, CJK ideographs, Hangul) each character counts as a word.
_UNSPACED = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_LETTERS = re.compile(rf"[{_UNSPACED}]|[^\W\d_{_UNSPACED}]+")
_ESCAPED = re.compile(r"\\+u([0-9a-fA-F]{4})")
_URL_ESCAPED = re.compile(r"(?:%[0-9a-fA-F]{2})+")
_BYTES_ESCAPED = re.compile(r"(?:\\+x[0-9a-fA-F]{2})+")
# An escape may be escaped once more, such as %2520 for a space.
_MOST_ESCAPES = 3
# What tokenizers write at the end or beginning of a word (red</w>, Ġred, ▁red), and other tags.
_TOKEN_MARK = re.compile(r"<[^<>\s]{1,40}>|[Ġ▁]")
# Base64 and hexadecimal text, of which nobody sees what it is.
_OPAQUE = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}")
_TRACEBACK = re.compile(
    r"""(?x) \s* Traceback\ \(most\ recent\ call\ last\) (?s:.*)
    | (?m:^ \s* File\ "[^"\n]*",\ line\ \d+ .* $)"""
)
# A file that a graph may name keeps its name but loses its folders.
_KEPT = r"\.(?:safetensors|sft|gguf|ckpt|pth?|bin|onnx|png|jpe?g|webp)\b"
_IN_PATH = r"""[^\n"'<>|*?:;,]"""
# Folder names may have spaces: a path is matched as far as possible, up to a kept file name or to
# its last slash.
_PATH = re.compile(
    rf"""(?xi)
    (?: (?<![a-z0-9]) [a-z]:[\\/] | \\\\ (?=\w) ) (?: {_IN_PATH}*?{_KEPT} | {_IN_PATH}* )
    | (?<![\w.)\]/\\]) (?: ~ | \.{{1,2}} | [a-z]+:/ )? / (?=[\w.~/-])
      (?: {_IN_PATH}*?{_KEPT} | (?:{_IN_PATH}*/)? [^\s"'<>|*?:;,()\[\]]* )
    | (?<![\w./\\-]) (?: \.{{0,2}}[\w@+-][\w.@+-]* [\\/]+ ){{2,}} [\w.@+-]*
    | (?<![\w./\\-]) \.{{1,2}} [\\/] [\w.@+\\/-]*"""
)


def redact(words: str, graph: Mapping[str, Any], *, at_most: int) -> str:
    """Return a host's message in one line of at most `at_most` characters.

    `…` stands for a path of the host, for text that is base64 or hexadecimal, and for words that are
    also in a longer text of the graph. Tracebacks are left out. One or two short words of a text may
    come through, since they are also words of error messages.
    """
    message = _TRACEBACK.sub(" ", _without_escapes(words[:_READ_LENGTH]))
    message = _PATH.sub(_file, message)
    # After the paths: before, the path C:\new\x64 would be taken for escaped characters.
    message = html.unescape(_BYTES_ESCAPED.sub(_decoded, message))
    message = re.sub(r"\\+[nrt]", " ", message)
    message = _OPAQUE.sub(REDACTED, _TOKEN_MARK.sub(" ", message))
    message = " ".join(_without(_visible(message), prompt_texts(graph)).split())
    return message if len(message) <= at_most else message[: at_most - 1].rstrip() + REDACTED


def prompt_texts(graph: Mapping[str, Any]) -> list[str]:
    """Return the texts of a graph that a person may have written: those of more than a few words."""
    return [
        text
        for node in graph.values()
        for text in _strings(node)
        if _is_prompt(text, is_encoded=_encodes_text(node))
    ]


def _without_escapes(words: str) -> str:
    for _ in range(_MOST_ESCAPES):
        words = _URL_ESCAPED.sub(_decoded, _ESCAPED.sub(_character, words))
    return words


def _decoded(escapes: re.Match[str]) -> str:
    return bytes.fromhex(re.sub(r"%|\\+x", "", escapes[0])).decode(errors="replace")


def _visible(message: str) -> str:
    """Return the message with composed letters, and without characters that nobody sees."""
    composed = unicodedata.normalize("NFC", message)
    return "".join(each for each in composed if unicodedata.category(each) != "Cf")


def _character(escape: re.Match[str]) -> str:
    # A JSON escape of a character beyond ASCII. Half of a surrogate pair is no character and
    # becomes a question mark.
    return chr(int(escape[1], 16)).encode(errors="replace").decode()


def _file(path: re.Match[str]) -> str:
    name = re.split(r"[\\/]", path[0])[-1].split()
    return name[-1] if name and re.search(rf"(?i){_KEPT}$", name[-1]) else REDACTED


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if key != "_meta":
                yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _encodes_text(node: Any) -> bool:
    return isinstance(node, Mapping) and "TextEncode" in str(node.get("class_type"))


def _is_prompt(text: str, *, is_encoded: bool) -> bool:
    words = len(_WORD.findall(text))
    return words > _FEW_WORDS or (words > 1 and (is_encoded or len(text) > _FEW_CHARACTERS))


def _without(message: str, prompts: list[str]) -> str:
    spans = {
        span
        for pattern in (_WORD, _LETTERS)
        for span in _spans_of_prompts(message, prompts, pattern)
    }
    return _with_gaps(message, sorted(spans))


def _spans_of_prompts(
    message: str, prompts: list[str], pattern: re.Pattern[str]
) -> Iterator[tuple[int, int]]:
    """Yield where in the message the words of prompts are; `pattern` says what a word is."""
    found = list(pattern.finditer(message))
    words = [_comparable(match[0]) for match in found]
    texts = [[_comparable(word) for word in pattern.findall(text)] for text in prompts]
    pieces = {piece for text in texts for piece, _ in _pieces(text, {min(_RUN, len(text))})}
    found_pieces = _pieces(words, {2, _RUN})
    hidden = {index for piece, indices in found_pieces if piece in pieces for index in indices}
    telling = {word for text in texts for word in text if len(word) >= _TELLING_LETTERS}
    if len(telling & set(words)) >= _TELLING_WORDS:
        hidden.update(index for index, word in enumerate(words) if word in telling)
    yield from (found[index].span() for index in hidden)


def _comparable(word: str) -> str:
    """Return the word's letters and digits, equal for all forms in which it may be written."""
    decomposed = unicodedata.normalize("NFKD", word).casefold()
    return "".join(each for each in decomposed if each.isalnum())


def _pieces(words: list[str], runs: Iterable[int]) -> Iterator[tuple[tuple[str, ...] | str, range]]:
    """Yield each piece by which a text is recognised, with the indices of its words.

    Pieces are each long word, each run of so many words as `runs` says, and each run of 12 letters
    across words.
    """
    for start, word in enumerate(words):
        if len(word) >= _LONG_WORD:
            yield (word,), range(start, start + 1)
        for run in runs:
            if 1 < run <= len(words) - start:
                yield tuple(words[start : start + run]), range(start, start + run)
    letters = "".join(words)
    word_of_letter = [index for index, word in enumerate(words) for _ in word]
    for start in range(len(letters) - _LETTERS_IN_A_ROW + 1):
        end = start + _LETTERS_IN_A_ROW
        yield letters[start:end], range(word_of_letter[start], word_of_letter[end - 1] + 1)


def _with_gaps(message: str, spans: list[tuple[int, int]]) -> str:
    pieces: list[str] = []
    end = 0
    for start, after in spans:
        if after <= end:
            continue
        between = message[end:start]
        # One gap for neighbouring hidden words: only signs and numbers stand between them.
        if not pieces or _LETTERS.search(between):
            pieces += [between, REDACTED]
        end = after
    return "".join([*pieces, message[end:]])
