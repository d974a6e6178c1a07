"""A persona whose own files break a ban is not loaded, and the fault says where."""

from pathlib import Path
from typing import Any

import pytest

from imagegen.workflows.errors import WorkflowFault
from imagegen.workflows.library import Workflow
from imagegen.workflows.screening import screened_workflows
from tests.support.workflow_exports import (
    PERSONA,
    ksampler,
    lora,
    node,
    plain,
    write_persona_folder,
)


def loaded(root: Path, graph: Any, *, more: str = "") -> Workflow:
    write_persona_folder(root, graph, more=more)
    return screened_workflows(root).find("lina")


def fault(root: Path, graph: Any, *, more: str = "") -> WorkflowFault:
    write_persona_folder(root, graph, more=more)
    return screened_workflows(root).faults["lina"]


def encoder(text: str) -> dict[str, Any]:
    return node("CLIPTextEncode", "Second text", text=text, clip=["30", 0])


def with_second_text(text: str) -> dict[str, Any]:
    """A graph that joins a fixed text with the prompt."""
    joined = node("ConditioningConcat", conditioning_to=["27", 0], conditioning_from=["34", 0])
    return plain(
        **{
            "34": encoder(text),
            "35": joined,
            "3": ksampler(positive=["35", 0]),
        }
    )


def with_negative(text: str, **sampler: Any) -> dict[str, Any]:
    return plain(**{"34": encoder(text), "3": ksampler(negative=["34", 0], **sampler)})


TEXT_ROLE = '\n[nodes]\ntext = "Words"\nkeep = "34"\n'
FORBIDDEN = [
    "a schoolgirl",
    "a girl of 12",
    "aged fifteen",
    "an undressed woman",
    "sch**lgirl look",
]


@pytest.mark.parametrize("text", FORBIDDEN)
def test_a_second_text_is_screened(tmp_path: Path, text: str) -> None:
    found = fault(tmp_path, with_second_text(text), more=TEXT_ROLE)

    assert found.node == '34 "Second text" (CLIPTextEncode)'
    assert found.input_name == "text"
    assert found.file.name == "workflow.json"
    assert text in found.why


@pytest.mark.parametrize(
    "text",
    ["fine detail, 8k uhd, 35mm photo, f/1.8", "(soft light:1.2), film grain", "мягкий свет, боке"],
)
def test_a_harmless_second_text_is_fine(tmp_path: Path, text: str) -> None:
    assert loaded(tmp_path, with_second_text(text), more=TEXT_ROLE)


@pytest.mark.parametrize(
    "text", ["una niña en la playa", "κορίτσι", "__age__, portrait", "{a|b} dress"]
)
def test_a_second_text_that_cannot_be_read_is_a_fault(tmp_path: Path, text: str) -> None:
    assert "34" in str(fault(tmp_path, with_second_text(text), more=TEXT_ROLE).node)


def test_the_text_in_whose_place_the_prompt_is_bound_reaches_no_host(tmp_path: Path) -> None:
    text = node("CLIPTextEncode", "Words", text="a schoolgirl", clip=["30", 0])

    assert loaded(tmp_path, plain(**{"27": text}))


def test_a_negative_text_may_name_what_is_not_to_be_drawn(tmp_path: Path) -> None:
    assert loaded(
        tmp_path, with_negative("child, teen, nude, nsfw, blurry, 6 fingers, adult content")
    )


@pytest.mark.parametrize("text", ["adult, blurry", "mature woman", "взрослая", "4dult"])
def test_a_negative_text_must_not_keep_adults_out(tmp_path: Path, text: str) -> None:
    assert "must not name adults" in fault(tmp_path, with_negative(text)).why


@pytest.mark.parametrize("cfg", [0.5, 0, -4])
def test_a_negative_text_that_the_sampler_adds_is_drawn(tmp_path: Path, cfg: float) -> None:
    assert "breaks a ban" in fault(tmp_path, with_negative("child", cfg=cfg)).why


def test_a_negative_text_that_is_also_linked_as_a_positive_one_is_drawn(tmp_path: Path) -> None:
    graph = plain(
        **{
            "34": encoder("child"),
            "35": node(
                "ConditioningConcat", conditioning_to=["27", 0], conditioning_from=["34", 0]
            ),
            "3": ksampler(positive=["35", 0], negative=["34", 0]),
        }
    )

    assert "breaks a ban" in fault(tmp_path, graph, more=TEXT_ROLE).why


@pytest.mark.parametrize(("slot", "is_drawn"), [(0, False), (1, True)])
def test_a_control_net_hands_on_both_texts_apart(
    tmp_path: Path, slot: int, *, is_drawn: bool
) -> None:
    graph = plain(
        **{
            "34": encoder("child"),
            "36": node("ControlNetApplyAdvanced", positive=["27", 0], negative=["34", 0]),
            "3": ksampler(positive=["36", slot], negative=["36", 1]),
        }
    )
    write_persona_folder(tmp_path, graph, more=TEXT_ROLE)

    assert ("lina" in screened_workflows(tmp_path).faults) == is_drawn


def test_an_input_that_persona_toml_sets_is_a_fault_of_that_file(tmp_path: Path) -> None:
    more = '\n[inputs]\n"Second text".text = "adult, blurry"\n'

    found = fault(tmp_path, with_negative("blurry"), more=more)

    assert found.file.name == "persona.toml"
    assert (found.node, found.input_name) == ('34 "Second text" (CLIPTextEncode)', "text")


@pytest.mark.parametrize(
    "name", ["youngGirl_v2.safetensors", "styles/teen_look.pt", "childface.safetensors", "15yo.pt"]
)
def test_the_name_of_a_lora_is_screened(tmp_path: Path, name: str) -> None:
    found = fault(tmp_path, plain(**{"40": lora(name)}))

    assert (found.node, found.input_name) == ('40 "LoRA" (LoraLoaderModelOnly)', "lora_name")


@pytest.mark.parametrize(
    "name", ["canteen_v15.safetensors", "z_image_bf16_000012.safetensors", "oldSchoolFilm.pt"]
)
def test_numbers_in_the_name_of_a_lora_are_versions(tmp_path: Path, name: str) -> None:
    assert loaded(tmp_path, plain(**{"40": lora(name)}))


def test_a_lora_kept_in_an_object_is_screened(tmp_path: Path) -> None:
    power = node("Power Lora Loader", model=["28", 0], lora_1={"on": True, "lora": "teen.pt"})

    assert fault(tmp_path, plain(**{"40": power})).input_name == "lora_1"


def test_a_style_is_screened(tmp_path: Path) -> None:
    styler = node("StyleConditioning", style="schoolgirl", conditioning=["27", 0])

    found = fault(tmp_path, plain(**{"41": styler, "3": ksampler(positive=["41", 0])}))

    assert (found.node, found.input_name) == ("41 (StyleConditioning)", "style")


def test_a_title_is_screened(tmp_path: Path) -> None:
    size = node("EmptySD3LatentImage", "schoolgirl", width=1024, height=768, batch_size=1)

    assert fault(tmp_path, plain(**{"13": size})).input_name == "title"


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("style", 'style = "A photograph of a schoolgirl."'),
        ("appearance", 'appearance = "Lina has a young face. She looks fifteen."'),
        ("appearance", 'appearance = "Lina is a 12 year old with black hair."'),
        ("appearance", 'appearance = "Lina is naked, with black hair."'),
        ("appearance", 'appearance = "Lina es una chica joven."'),
        ("style", 'style = "A __mood__ photograph."'),
        ("habits.clothes", '[habits]\nclothes = ["a school uniform"]'),
        ("habits.clothes", '[habits]\nclothes = ["a lace bikini"]'),
        ("habits.evening_clothes", '[habits]\nevening_clothes = ["nothing at all"]'),
        ("wording.safe", '[wording]\nsafe = "Lina is topless."'),
        ("wording.explicit", '[wording]\nexplicit = "Lina looks like a teen."'),
        ("captions", '[captions]\nen = ["My photo from school, I am fifteen."]'),
        ("captions", '[captions]\nru = ["Мне пятнадцать лет."]'),
        ("'schoolgirlzt'", 'trigger_words = ["schoolgirlzt"]'),
    ],
)
def test_a_text_of_persona_toml_is_screened(tmp_path: Path, key: str, line: str) -> None:
    folder = write_persona_folder(tmp_path, plain())
    key_of_line = line.partition(" ")[0]
    kept = [each for each in PERSONA.splitlines() if not each.startswith(key_of_line)]
    (folder / "persona.toml").write_text("\n".join([*kept, line]), encoding="utf-8")

    found = screened_workflows(tmp_path).faults["lina"]

    assert found.file.name == "persona.toml"
    assert key in found.why


def test_an_explicit_wording_is_for_adults_and_so_may_be_bare(tmp_path: Path) -> None:
    assert loaded(tmp_path, plain(), more='\n[wording]\nexplicit = "Lina is naked."\n')


def test_a_name_that_is_a_word_elsewhere_and_a_few_brands_are_fine(tmp_path: Path) -> None:
    folder = write_persona_folder(tmp_path, plain())
    toml = PERSONA.replace("Lina", "Nina").replace(
        "A photograph.", "A photograph on Kodak Portra, shot with a Leica."
    )
    (folder / "persona.toml").write_text(toml, encoding="utf-8")

    assert screened_workflows(tmp_path).workflows.keys() == {"lina"}


def test_the_fault_quotes_the_sentence_that_breaks_the_ban(tmp_path: Path) -> None:
    found = fault(tmp_path, with_second_text("Soft light. A schoolgirl."), more=TEXT_ROLE)

    assert "'A schoolgirl.'" in found.why
