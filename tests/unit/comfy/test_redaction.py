"""What is kept of a host's error messages."""

import re
import unicodedata

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


@pytest.mark.parametrize(
    "words",
    [
        "red_hair_in_the_wind",
        "red-hair-in-the-wind",
        "red%20hair%20in%20the%20wind",
        "red%2520hair%2520in%2520the%2520wind",
        "red+hair+in+the+wind",
        "red:1.1, hair:1.2, in:1, the:0.9, wind:1.3",
        "(red:1.1) ((hair)) [in] the<lora:x:1>wind",
        "red</w>hair</w>in</w>the</w>wind</w>",
        "ĠredĠhairĠinĠtheĠwind",
        "▁red▁hair▁in▁the▁wind",
        r"red\nhair\nin\tthe\r\nwind",
        r"\u0072\u0065\u0064 hair in the \\u0077ind",
        r"\x72\x65\x64 hair in the wind",
        "red&#32;hair&nbsp;in&#x20;the wind",
        "RedHairInTheWind",
        "REDHAIRINTHEWIND",
        "redhairinth",
        "r.e.d h.a.i.r i.n t.h.e w.i.n.d",
        "r\u00ade\u200bd ha\u200bir in the wi\u00adnd",
        "ｒｅｄ ｈａｉｒ ｉｎ ｔｈｅ ｗｉｎｄ",
        "/data/red_hair_in_the_wind.png",
        '{"text": "red hair in the wind"}',
        "red=320 hair=17 in=4 the=5 wind=9",
        "cmVkIGhhaXIgaW4gdGhlIHdpbmQsIGJ5IHRoZSBzZWEgYXQgbmlnaHQ=",
        "7265642068616972206f6e20746865207365612c20696e207468652077696e64",
    ],
)
def test_what_people_wrote_is_left_out_in_every_form(words: str) -> None:
    graph = {"1": {"inputs": {"text": "red hair in the wind, by the sea"}}}

    message = redact(f"cannot encode {words}", graph, at_most=300).casefold()

    assert message.startswith("cannot encode")
    assert not {"red", "hair", "wind", "redhairin"} & set(re.findall("[a-z]+", message))


def test_what_people_wrote_is_left_out_in_another_order() -> None:
    graph = {"1": {"inputs": {"text": "Мария ждёт на балконе у тёплого моря"}}}
    tokens = "'балконе' is id 7, 'Мария' is id 8, 'теплого' is id 9"

    assert redact(tokens, graph, at_most=200) == "'…' is id 7, '…' is id 8, '…' is id 9"


def test_letters_of_two_parts_are_those_of_one_part() -> None:
    graph = {"1": {"inputs": {"text": "май, йога и чай на лодке"}}}
    decomposed = unicodedata.normalize("NFD", "чай на лодке")

    assert redact(f"плохо: {decomposed}", graph, at_most=200) == "плохо: …"


def test_a_short_text_that_is_encoded_is_left_out_too() -> None:
    graph = {"1": {"class_type": "CLIPTextEncode", "inputs": {"text": "red hair"}}}

    assert redact("cannot encode red_hair", graph, at_most=200) == "cannot encode …"


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
