"""Nodes that raised, as sentences."""

import pytest

from imagegen.comfy import events
from imagegen.comfy.error_messages import read_failure
from imagegen.comfy.errors import DrawingFailed, OutOfMemory
from tests.support.comfyui_recording import RECORDINGS, read_recording

VERSIONS = ("0.33", "0.3.64")
TEXT = "Maria waits on a balcony by the sea"
GRAPH = {
    "4": {"class_type": "CLIPTextEncode", "inputs": {"text": TEXT}},
    "7": {"class_type": "KSampler", "inputs": {}, "_meta": {"title": "Draw"}},
}
ADVICE = (
    "\nThis error means you ran out of memory on your GPU.\n\nTIPS: If the workflow worked before"
    " you might have accidentally set the batch_size to a large number."
)


@pytest.mark.parametrize("version", VERSIONS)
def test_recorded_failures_name_node_and_exception(version: str) -> None:
    sentences = [error.sentence for error in _recorded(version, "s12_errors")]

    deserializing = "SafetensorError on gpu-1: Error while deserializing header: header too large"
    assert sentences[0] == f"UNETLoader raised safetensors._safetensors_rust.{deserializing}"
    assert sentences[1] == (
        "UNETLoader raised RuntimeError on gpu-1:"
        " ERROR: Could not detect model type of: unknown_arch.safetensors"
    )
    assert sentences[2] == f"VAELoader raised safetensors._safetensors_rust.{deserializing}"
    assert sentences[4].startswith("ImageBlur raised RuntimeError on gpu-1: Argument #4: Padding")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_host_without_enough_ram_is_out_of_memory(version: str) -> None:
    [error] = [each for each in _recorded(version, "s12_errors") if isinstance(each, OutOfMemory)]

    assert error.code == "out_of_memory"
    assert error.sentence.startswith("EmptyImage ran out of memory on gpu-1: [enforce fail at ")
    assert len(error.sentence) < 220


@pytest.mark.parametrize("version", VERSIONS)
def test_a_failure_does_not_tell_of_the_hosts_disk(version: str) -> None:
    [error] = _recorded(version, "s08_invalid")

    assert "Saving image outside the output folder is not allowed" in error.sentence
    assert "comfyui" not in error.sentence


@pytest.mark.parametrize(
    ("exception", "message"),
    [
        ("torch.OutOfMemoryError", f"Allocation on device {ADVICE}"),
        ("torch.cuda.OutOfMemoryError", "Allocation on device"),
        ("torch.OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has"),
        ("torch.OutOfMemoryError", "HIP out of memory. Tried to allocate 20.00 MiB."),
        ("torch.AcceleratorError", "CUDA error: out of memory"),
        ("RuntimeError", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        ("RuntimeError", "MPS backend out of memory (MPS allocated: 8.72 GB, max allowed: 9 GB)."),
        ("RuntimeError", "Invalid buffer size: 22.15 GB"),
        ("RuntimeError", "XPU out of memory. Tried to allocate 1.00 GiB."),
        (
            "RuntimeError",
            "level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)",
        ),
        ("RuntimeError", "Could not allocate tensor with 9437184 bytes. There is not enough GPU"),
        ("RuntimeError", "[enforce fail] DefaultCPUAllocator: not enough memory: you tried to"),
        ("MemoryError", ""),
        ("numpy._core._exceptions._ArrayMemoryError", "Unable to allocate 1.2 GiB for an array"),
        ("RuntimeError", "std::bad_alloc"),
        ("Exception", "Allocation on device 0 would exceed allowed memory. (out of memory)"),
        ("RuntimeError", "x" * 300 + " CUDA out of memory"),
    ],
)
def test_every_way_to_run_out_of_memory_is_told_apart(exception: str, message: str) -> None:
    error = read_failure("gpu-1", GRAPH, _failed(exception, message))

    assert isinstance(error, OutOfMemory)
    assert error.sentence.startswith("Draw (KSampler) ran out of memory on gpu-1")
    assert "TIPS" not in error.sentence


@pytest.mark.parametrize(
    ("exception", "message"),
    [
        ("RuntimeError", "mat1 and mat2 shapes cannot be multiplied"),
        # A host without CUDA gives the advice for any exception.
        ("RuntimeError", f"shapes cannot be multiplied{ADVICE}"),
        ("ImportError", "libgomp.so: cannot allocate memory in static TLS block"),
        ("ExecutionBlocked", "Execution Blocked: no face"),
        ("", ""),
    ],
)
def test_other_failures_are_no_lack_of_memory(exception: str, message: str) -> None:
    error = read_failure("gpu-1", GRAPH, _failed(exception, message))

    assert isinstance(error, DrawingFailed)
    assert error.sentence.startswith("Draw (KSampler) raised ")


def test_a_text_that_speaks_of_memory_is_no_lack_of_it() -> None:
    text = "Maria has run out of memory for names"
    graph = {"4": {"class_type": "Style", "inputs": {"text": text}}}

    error = read_failure("gpu-1", graph, _failed("ValueError", f"no style in {text!r}"))

    assert isinstance(error, DrawingFailed)
    assert error.sentence.endswith("no style in '…'")


def test_without_the_graph_no_words_of_the_exception_are_repeated() -> None:
    error = read_failure("gpu-1", {}, _failed("RuntimeError", "CUDA out of memory: Maria waits"))

    assert isinstance(error, OutOfMemory)
    assert error.sentence == "KSampler ran out of memory on gpu-1"


def test_an_exception_of_a_strange_type_is_not_named() -> None:
    error = read_failure("gpu-1", GRAPH, _failed("<b>/home/joe</b>", "no"))

    assert error.sentence == "Draw (KSampler) raised an exception on gpu-1: no"


def _failed(exception: str, message: str) -> events.Failed:
    return events.Failed(
        prompt_id="7f3a",
        node="7",
        node_type="KSampler",
        exception_type=exception,
        message=message,
    )


def _recorded(version: str, scenario: str) -> list[DrawingFailed | OutOfMemory]:
    lines = read_recording(RECORDINGS / version / f"{scenario}.jsonl")
    return [
        read_failure("gpu-1", GRAPH, events.failed(line.data["data"]))
        for line in lines
        if line.kind == "execution_error"
    ]
