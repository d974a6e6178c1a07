"""Removes paths, tracebacks and prompt texts from a host's error messages; pure.

A host writes its messages for its own operator: with paths of its disk, tracebacks, and sometimes
the prompt. Our error sentences go into logs, the database and chats.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

REDACTED = "…"

# Characters of a message that are read; bounds the time that the patterns below take.
_READ_LENGTH = 2000
# A text of a graph counts as written by a person, and not as a name or a setting, if it has more
# than three words, or several words and more than 40 characters. In a message it is recognised by
# three words in a row or by one word of at least 16 characters.
_FEW_WORDS = 3
_FEW_CHARACTERS = 40
_RUN = 3
_LONG_WORD = 16

# In scripts without spaces (kana, CJK ideographs, Hangul) each character counts as a word.
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"
)
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
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

    `…` stands for a path of the host, and for words that are also in a longer text of the graph.
    Tracebacks are left out.
    """
    message = _TRACEBACK.sub(" ", _ESCAPED.sub(_character, words[:_READ_LENGTH]))
    message = _PATH.sub(_file, message)
    # After the paths: before, the path C:\new\temp would be taken for escaped line ends and tabs.
    message = re.sub(r"\\[nrt]", " ", message)
    message = " ".join(_without(message, prompt_texts(graph)).split())
    return message if len(message) <= at_most else message[: at_most - 1].rstrip() + REDACTED


def prompt_texts(graph: Mapping[str, Any]) -> list[str]:
    """Return the texts of a graph that a person may have written: those of more than a few words."""
    return [text for node in graph.values() for text in _strings(node) if _is_prompt(text)]


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


def _is_prompt(text: str) -> bool:
    words = len(_WORD.findall(text))
    return words > _FEW_WORDS or (words > 1 and len(text) > _FEW_CHARACTERS)


def _without(message: str, prompts: list[str]) -> str:
    prompt_runs = {run for text in prompts for _, run in _runs(_WORD.findall(text))}
    matches = list(_WORD.finditer(message))
    hidden: set[int] = set()
    for start, run in _runs([match[0] for match in matches]):
        if run in prompt_runs:
            hidden.update(range(start, start + len(run)))
    return _with_gaps(message, [matches[index].span() for index in sorted(hidden)])


def _runs(words: list[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield each long word and each run of three words, with the index of its first word."""
    words = [word.casefold() for word in words]
    for start, word in enumerate(words):
        if len(word) >= _LONG_WORD:
            yield start, (word,)
        if start + _RUN <= len(words):
            yield start, tuple(words[start : start + _RUN])


def _with_gaps(message: str, spans: list[tuple[int, int]]) -> str:
    pieces: list[str] = []
    end = 0
    for start, after in spans:
        between = message[end:start]
        # One gap for neighbouring hidden words: only signs stand between them.
        if not pieces or _WORD.search(between):
            pieces += [between, REDACTED]
        end = after
    return "".join([*pieces, message[end:]])
