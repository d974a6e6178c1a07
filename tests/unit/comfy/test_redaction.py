"""What is kept of a host's error messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.comfy.redaction import redact

WORDS = st.sampled_from(["maria", "on", "sea", "wind", "hair", "above"])
WRITTEN = "Maria waits on a balcony above the sea, wind in her hair"


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (
            "no model in /comfyui/models/loras/x.safetensors found",
            "no model in x.safetensors found",
        ),
        ("folder: /comfyui/data\n out: /comfyui/data/out\n", "folder: … out: …"),
        ("at '/Volumes/My Disk/comfy/main.py'", "at '…'"),
        ("open /Users/Joe Smith/comfy/a b.png failed", "open b.png failed"),
        ("open ~/comfy/x.py, then stop", "open …, then stop"),
        ("in custom_nodes/faces/mend.py", "in …"),
        ("in ../../evil", "in …"),
        (r"load C:\Users\Joe Smith\ComfyUI\models\x.ckpt now", "load x.ckpt now"),
        (r"load 'D:\\new\\table\\main.py': broken", "load '…': broken"),
        (r"in C:\Program Files (x86)\ComfyUI\main.py", "in …"),
        (r"on \\nas\share\x", "on …"),
        ("see https://example.org/a?token=1 for more", "see …?token=1 for more"),
        ("C:/ComfyUI/models/vae/ae.sft is broken", "ae.sft is broken"),
    ],
)
def test_paths_are_left_out_and_names_of_models_stay(words: str, kept: str) -> None:
    assert redact(words, {}, at_most=200) == kept


@pytest.mark.parametrize(
    "words",
    [
        "mat1 and mat2 shapes cannot be multiplied (77x2048 and 4096x1280)",
        "expected and/or given 3/4 of 16 / 8",
        "Error while deserializing header: header too large",
        "float8_e4m3fn is not implemented for 'addmm_impl_cpu_'",
        "subfolder/x.safetensors is broken",
    ],
)
def test_other_words_stay_as_they_are(words: str) -> None:
    assert redact(words, {}, at_most=200) == words


def test_a_traceback_is_left_out() -> None:
    words = 'bad size\nTraceback (most recent call last):\n  File "/a/b.py", line 3, in f\n  x = 1'

    assert redact(words, {}, at_most=200) == "bad size"


def test_a_line_of_a_traceback_is_left_out() -> None:
    words = 'bad size\n  File "nodes.py", line 3, in draw\nat the end'

    assert redact(words, {}, at_most=200) == "bad size at the end"


@pytest.mark.parametrize(
    ("text", "words", "kept"),
    [
        (WRITTEN, f"cannot draw {WRITTEN!r}", "cannot draw '…'"),
        (WRITTEN, "cannot draw 'on a balcony above…'", "cannot draw '……'"),
        (WRITTEN, "cannot draw MARIA WAITS ON, sorry", "cannot draw …, sorry"),
        (
            "Мария ждёт на балконе",
            r"bad '\u043d\u0430 \u0431\u0430\u043b\u043a\u043e\u043d\u0435'",
            "bad '\u043d\u0430 \u0431\u0430\u043b\u043a\u043e\u043d\u0435'",
        ),
        ("Мария ждёт на балконе", "плохо: Мария ждёт на балконе", "плохо: …"),
        ("玛丽亚在阳台上等待", "错: 在阳台上等", "错: …"),
        ("one two_three_four_five six seven", "bad token two_three_four_five", "bad token …"),
        ("line one is here\nline two", r"bad: 'line one is here\nline two'", "bad: '…'"),
    ],
)
def test_what_people_wrote_is_left_out(text: str, words: str, kept: str) -> None:
    graph = {"1": {"class_type": "CLIPTextEncode", "inputs": {"text": text}}}

    assert redact(words, graph, at_most=200) == kept


def test_settings_and_titles_of_a_graph_are_no_texts() -> None:
    graph = {
        "1": {
            "class_type": "KSampler",
            "inputs": {"sampler_name": "res_multistep", "name": "a b.safetensors"},
            "_meta": {"title": "the one that draws it all"},
        }
    }

    words = "res_multistep needs a b.safetensors in the one that draws"
    assert redact(words, graph, at_most=200) == words


def test_long_words_are_cut() -> None:
    assert redact("a " * 200, {}, at_most=10) == "a a a a a…"


@given(st.text(), st.lists(WORDS, min_size=4))
def test_three_written_words_in_a_row_never_come_through(around: str, written: list[str]) -> None:
    text = " ".join(written)
    graph = {"1": {"inputs": {"text": text}}}

    message = redact(f"{around} {text} {around}", graph, at_most=5000)

    assert text not in message


@given(st.text(), st.sampled_from(["/home/joe/x", r"C:\Users\joe\x.py", r"\\\\nas\\joe"]))
def test_a_path_between_spaces_never_comes_through(before: str, path: str) -> None:
    message = redact(f"{before} {path} end", {}, at_most=5000)

    assert "joe" not in message
