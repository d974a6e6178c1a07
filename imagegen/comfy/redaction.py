"""What a host's own words may keep in a sentence of ours; pure.

They are written for whoever sits at the host: with paths of its disk, tracebacks, and now and then
the prompt. Sentences of errors go into logs, the database and chats.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

REDACTED = "…"

# Beyond this nobody reads, and the patterns below stay cheap.
_READ = 2000
# What people wrote is told from names and settings by its length, and known again by three
# words in a row or by one very long one.
_FEW_WORDS = 3
_FEW_CHARACTERS = 40
_RUN = 3
_LONG_WORD = 16

# In scripts without spaces each sign counts as a word.
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"
)
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
_TRACEBACK = re.compile(
    r"""(?x) \s* Traceback\ \(most\ recent\ call\ last\) (?s:.*)
    | (?m:^ \s* File\ "[^"\n]*",\ line\ \d+ .* $)"""
)
# A file that a graph may name keeps its name, without the folders before it.
_KEPT = r"\.(?:safetensors|sft|gguf|ckpt|pth?|bin|onnx|png|jpe?g|webp)\b"
_IN_PATH = r"""[^\n"'<>|*?:;,]"""
# Folders may have spaces: a path goes on as far as it can, up to a kept name or its last slash.
_PATH = re.compile(
    rf"""(?xi)
    (?: (?<![a-z0-9]) [a-z]:[\\/] | \\\\ (?=\w) ) (?: {_IN_PATH}*?{_KEPT} | {_IN_PATH}* )
    | (?<![\w.)\]/\\]) (?: ~ | \.{{1,2}} | [a-z]+:/ )? / (?=[\w.~/-])
      (?: {_IN_PATH}*?{_KEPT} | (?:{_IN_PATH}*/)? [^\s"'<>|*?:;,()\[\]]* )
    | (?<![\w./\\-]) (?: \.{{0,2}}[\w@+-][\w.@+-]* [\\/]+ ){{2,}} [\w.@+-]*
    | (?<![\w./\\-]) \.{{1,2}} [\\/] [\w.@+\\/-]*"""
)


def redact(words: str, graph: Mapping[str, Any], *, at_most: int) -> str:
    """Return a host's words in one line of `at_most` characters.

    A gap stands for a path of the host, and for what is also in a longer text of the graph.
    """
    told = _TRACEBACK.sub(" ", _ESCAPED.sub(_character, words[:_READ]))
    told = _PATH.sub(_file, told)
    # Only now, lest the folders in C:\new\temp become lines.
    told = re.sub(r"\\[nrt]", " ", told)
    told = " ".join(_without(told, prompt_texts(graph)).split())
    return told if len(told) <= at_most else told[: at_most - 1].rstrip() + REDACTED


def prompt_texts(graph: Mapping[str, Any]) -> list[str]:
    """Return all inputs of a graph that are texts of more than a few words."""
    return [text for node in graph.values() for text in _strings(node) if _is_written(text)]


def _character(escape: re.Match[str]) -> str:
    # As JSON writes what is not ASCII; halves of a pair are no characters.
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


def _is_written(text: str) -> bool:
    words = len(_WORD.findall(text))
    return words > _FEW_WORDS or (words > 1 and len(text) > _FEW_CHARACTERS)


def _without(told: str, written: list[str]) -> str:
    known = {run for text in written for _, run in _runs(_WORD.findall(text))}
    matches = list(_WORD.finditer(told))
    hidden: set[int] = set()
    for start, run in _runs([match[0] for match in matches]):
        if run in known:
            hidden.update(range(start, start + len(run)))
    return _gapped(told, [matches[index].span() for index in sorted(hidden)])


def _runs(words: list[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    words = [word.casefold() for word in words]
    for start, word in enumerate(words):
        if len(word) >= _LONG_WORD:
            yield start, (word,)
        if start + _RUN <= len(words):
            yield start, tuple(words[start : start + _RUN])


def _gapped(told: str, spans: list[tuple[int, int]]) -> str:
    pieces: list[str] = []
    end = 0
    for start, after in spans:
        between = told[end:start]
        # One gap for a run: what stands between hidden words says nothing without them.
        if not pieces or _WORD.search(between):
            pieces += [between, REDACTED]
        end = after
    return "".join([*pieces, told[end:]])
