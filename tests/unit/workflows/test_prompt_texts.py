"""All words that are drawn take the prompt, or are named; nothing but a text takes it."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.workflow_exports import bound, fault, inputs, ksampler, loaded, node, plain

REFINER = {
    "60": ksampler(latent_image=["3", 0], positive=["61", 0]),
    "8": node("VAEDecode", samples=["60", 0], vae=["29", 0]),
}


def encoder(text: Any, class_type: str = "CLIPTextEncode", **more: Any) -> dict[str, Any]:
    return node(class_type, text=text, clip=["30", 0], **more)


def test_copies_of_the_words_in_other_samplers_are_replaced(tmp_path: Path) -> None:
    words = "a cat on a sofa"
    graph = plain(**REFINER, **{"27": encoder(words), "61": encoder(f" {words}\n")})

    drawn = bound(tmp_path, graph)

    assert (inputs(drawn, "27")["text"], inputs(drawn, "61")["text"]) == ("a dog", "a dog")


def test_a_copy_in_a_node_beside_the_conditioning_is_replaced(tmp_path: Path) -> None:
    words = "a cat on a sofa"
    detail = node("FaceDetailer", image=["8", 0], positive=["27", 0], wildcard=words, seed=0)
    graph = plain(**{"27": encoder(words), "70": detail, "9": node("SaveImage", images=["70", 0])})

    assert inputs(bound(tmp_path, graph), "70")["wildcard"] == "a dog"


@pytest.mark.parametrize(
    ("class_type", "names"),
    [
        ("CLIPTextEncodeSDXL", ["text_g", "text_l"]),
        ("CLIPTextEncodeSD3", ["clip_l", "clip_g", "t5xxl"]),
        ("CLIPTextEncodeFlux", ["clip_l", "t5xxl"]),
        ("CLIPTextEncodeHiDream", ["clip_l", "clip_g", "t5xxl", "llama"]),
        ("CLIPTextEncodeHunyuanDiT", ["bert", "mt5xl"]),
        ("CLIPTextEncodeLumina2", ["user_prompt"]),
        ("ImpactWildcardEncode", ["wildcard_text", "populated_text"]),
    ],
)
def test_every_text_of_an_encoder_is_replaced(
    tmp_path: Path, class_type: str, names: list[str]
) -> None:
    texts = {name: f"example {name}" for name in names}
    words = node(class_type, **texts, clip=["30", 0], system_prompt="superior", mode="populate")

    drawn = inputs(bound(tmp_path, plain(**{"27": words})), "27")

    assert {drawn[name] for name in names} == {"a dog"}
    assert (drawn["system_prompt"], drawn["mode"]) == ("superior", "populate")


def test_a_loader_with_words_and_a_size_of_its_own_takes_both(tmp_path: Path) -> None:
    loader = node(
        "Efficient Loader",
        ckpt_name="x.safetensors",
        positive="a cat",
        negative="blurry",
        empty_latent_width=512,
        empty_latent_height=512,
        batch_size=4,
    )
    sampler = ksampler(
        model=["27", 0], positive=["27", 1], negative=["27", 2], latent_image=["27", 3]
    )

    drawn = bound(tmp_path, plain(**{"27": loader, "3": sampler}), width=832, height=1000)

    assert inputs(drawn, "27") == {
        **loader["inputs"],
        "positive": "a dog",
        "empty_latent_width": 832,
        "empty_latent_height": 1000,
        "batch_size": 1,
    }


def test_words_that_would_stay_are_named_with_the_line_that_keeps_them(tmp_path: Path) -> None:
    graph = plain(**REFINER, **{"61": encoder("fine detail")})

    broken = fault(tmp_path / "a", graph)
    line = re.search(r"keep = \[.*?\]", broken.why)

    assert "61 (CLIPTextEncode) input text: 'fine detail'" in broken.why
    assert line is not None
    kept = bound(tmp_path / "b", graph, more=f"[nodes]\n{line[0]}")
    assert inputs(kept, "61")["text"] == "fine detail"


def test_words_that_a_text_node_adds_are_named(tmp_path: Path) -> None:
    adder = node("Add Words", prefix="masterwork,", text="a cat")

    broken = fault(tmp_path, plain(**{"70": adder, "27": encoder(["70", 0])}))

    assert "input prefix: 'masterwork,'" in broken.why


def test_a_delimiter_is_no_word(tmp_path: Path) -> None:
    join = node("StringConcatenate", string_a="a cat", string_b="", delimiter=", ")

    drawn = bound(tmp_path, plain(**{"70": join, "27": encoder(["70", 0])}))

    assert inputs(drawn, "70") == {"string_a": "a dog", "string_b": "", "delimiter": ", "}


@pytest.mark.parametrize(
    "writer",
    [
        node("OllamaGenerate", prompt="describe a cat", url="http://127.0.0.1", model="m"),
        node("ImpactWildcardProcessor", wildcard_text="a {red|blue} cat", seed=3),
        node("Florence2Run", image=["71", 0], text_input="", max_new_tokens=99),
    ],
)
def test_what_another_node_writes_is_replaced_and_the_writer_left_out(
    tmp_path: Path, writer: dict[str, Any]
) -> None:
    graph = plain(
        **{"70": writer, "71": node("LoadImage", image="a.png"), "27": encoder(["70", 0])}
    )

    drawn = bound(tmp_path, graph)

    assert inputs(drawn, "27")["text"] == "a dog"
    assert not {"70", "71"} & set(drawn.graph)


def test_a_conditioning_and_a_model_take_no_prompt(tmp_path: Path) -> None:
    pair = node("PairConditioning", positive_NEW=["27", 0], negative_NEW=["33", 0], strength=1)
    graph = plain(**{"50": pair, "3": ksampler(positive=["50", 0])})

    drawn = bound(tmp_path, graph)

    assert inputs(drawn, "50")["positive_NEW"] == ["27", 0]
    assert inputs(drawn, "27")["text"] == "a dog"


def test_an_all_in_one_node_is_its_own_sampler(tmp_path: Path) -> None:
    api = node("FluxProUltraImageNode", prompt="a cat", seed=1, aspect_ratio="16:9", raw=False)

    drawn = bound(tmp_path, {"1": api, "9": node("SaveImage", images=["1", 0])})

    assert inputs(drawn, "1") == {**api["inputs"], "prompt": "a dog", "seed": 7}


def test_samplers_side_by_side_with_the_same_words_are_all_bound(tmp_path: Path) -> None:
    beside = {
        "4": ksampler(),
        "18": node("VAEDecode", samples=["4", 0], vae=["29", 0]),
        "19": node("ImageBatch", image1=["8", 0], image2=["18", 0]),
        "9": node("SaveImage", images=["19", 0], filename_prefix=""),
    }

    drawn = bound(tmp_path, plain(**beside))

    assert (inputs(drawn, "3")["seed"], inputs(drawn, "4")["seed"]) == (7, 7)


def test_a_text_of_people_may_be_anything_and_stays_a_text(tmp_path: Path) -> None:
    workflow = loaded(tmp_path, plain())

    assert {type(workflow.graph.nodes[p.node].inputs[p.input]) for p in workflow.inputs.texts} == {
        str
    }
