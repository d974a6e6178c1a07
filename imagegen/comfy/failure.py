"""A node that raised → one readable sentence; pure.

How ComfyUI reports it was taken from recordings of 0.3.64 and 0.33, and from error reports of its
users for what a test machine without a GPU cannot show.
"""

import re
from collections.abc import Mapping
from typing import Any

from imagegen.comfy.errors import DrawingFailed, OutOfMemory
from imagegen.comfy.events import Failed
from imagegen.comfy.quote import quote
from imagegen.comfy.title import title

_MESSAGE = 160
_TYPE = 60
_JUDGED = 1000

_MEMORY_TYPES = {"OutOfMemoryError", "MemoryError", "_ArrayMemoryError"}
# CUDA, ROCm, XPU and MPS say "out of memory" in one way or another; the rest is cudaMallocAsync,
# MPS once more, cuBLAS, DirectML, and the RAM of Linux, Windows and C++.
_MEMORY_WORDS = re.compile(
    r"""(?xi) out [ _]of[ _](?:host[ _]|device[ _])?memory
    | allocation\ on\ device
    | invalid\ buffer\ size
    | (?:cublas|cudnn)_status_alloc_failed
    | not\ enough\ (?:gpu\ )?(?:video\ )?memory
    | (?:can't|cannot|could\ not|unable\ to|failed\ to)\ allocate (?!\ memory\ in\ static)
    | bad_alloc"""
)
# ComfyUI adds advice of its own. Hosts without CUDA give it for any exception: it proves nothing.
_ADVICE = re.compile(r"(?s)\s*(?:This error means you ran out of memory on your GPU|TIPS:).*")


def read(host: str, graph: Mapping[str, Any], failed: Failed) -> DrawingFailed | OutOfMemory:
    """Return the error for a node of `graph` that raised on `host`.

    The sentence names node and exception. It keeps the exception's words, but no traceback, no
    path of the host and nothing of the graph's texts.
    """
    message, exception = _ADVICE.sub("", failed.message), failed.exception_type
    # Without the graph nobody knows which of the words are the prompt's.
    said = quote(message, graph, at_most=_MESSAGE) if graph else ""
    node = title(graph, failed.node, failed.node_type)
    ending = f" on {host}: {said}" if said else f" on {host}"
    # Judged without the graph's texts, in which people may have run out of memory.
    if _is_out_of_memory(exception, quote(message, graph, at_most=_JUDGED)):
        return OutOfMemory(f"{node} ran out of memory{ending}")
    return DrawingFailed(f"{node} raised {_shown(exception)}{ending}")


def _is_out_of_memory(exception: str, said: str) -> bool:
    return exception.rpartition(".")[2] in _MEMORY_TYPES or bool(_MEMORY_WORDS.search(said))


def _shown(exception: str) -> str:
    return exception if re.fullmatch(rf"[\w.]{{1,{_TYPE}}}", exception) else "an exception"
