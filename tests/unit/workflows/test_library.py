"""Loading and checking persona workflows."""

import json
from pathlib import Path

import pytest

from imagegen.comfy.capabilities import ModelFile
from imagegen.workflows.errors import UnknownPersona, WorkflowFault, WorkflowsMissing
from imagegen.workflows.library import load_workflows, required_model_files
from tests.support.workflow_exports import (
    fault,
    ksampler,
    loaded,
    lora,
    node,
    plain,
    write_persona_folder,
)


def test_a_persona_is_found_in_any_case(tmp_path: Path) -> None:
    write_persona_folder(tmp_path, plain())

    workflow = load_workflows(tmp_path).find(" LiNa ")

    assert workflow.persona.display_name == "Lina"


def test_an_unknown_persona_is_named(tmp_path: Path) -> None:
    write_persona_folder(tmp_path, plain())
    library = load_workflows(tmp_path)

    with pytest.raises(UnknownPersona, match="called 'bob'") as caught:
        library.find("bob")

    assert caught.value.code == "unknown_persona"


def test_one_broken_persona_hides_no_other(tmp_path: Path) -> None:
    write_persona_folder(tmp_path, plain())
    write_persona_folder(tmp_path, "{", persona="may")

    library = load_workflows(tmp_path)

    assert (set(library.workflows), set(library.faults)) == ({"lina"}, {"may"})


def test_a_broken_persona_tells_its_fault_when_it_is_asked_for(tmp_path: Path) -> None:
    write_persona_folder(tmp_path, "{", persona="may")
    library = load_workflows(tmp_path)

    with pytest.raises(WorkflowFault, match=r"workflow\.json: is not JSON") as caught:
        library.find("May")

    assert caught.value.code == "workflow_broken"


def test_two_folders_that_differ_in_case_only_are_a_fault(tmp_path: Path) -> None:
    write_persona_folder(tmp_path, plain(), persona="Lina")
    write_persona_folder(tmp_path, plain(), persona="lina")

    library = load_workflows(tmp_path)

    assert "but for its case" in library.faults["lina"].why


def test_an_operators_own_persona_stands_before_the_shipped_one_and_draws_with_its_graph(
    tmp_path: Path,
) -> None:
    write_persona_folder(tmp_path / "shipped", plain())
    write_persona_folder(tmp_path / "shipped", plain(), persona="may")
    write_persona_folder(tmp_path / "own", plain(), persona="Lina")
    toml = tmp_path / "own" / "Lina" / "persona.toml"
    toml.write_text(toml.read_text() + '\nmax_rating = "explicit"\n')
    (tmp_path / "own" / "Lina" / "workflow.json").unlink()

    library = load_workflows(tmp_path / "shipped", tmp_path / "own")

    assert library.find("lina").persona.max_rating == "explicit"
    assert library.find("lina").path == tmp_path / "shipped" / "lina" / "workflow.json"
    assert library.find("may").persona.max_rating == "suggestive"


def test_an_operators_own_persona_may_be_a_ninth_one(tmp_path: Path) -> None:
    write_persona_folder(tmp_path / "shipped", plain())
    write_persona_folder(tmp_path / "own", plain(), persona="зоя")

    library = load_workflows(tmp_path / "shipped", tmp_path / "own")

    assert set(library.workflows) == {"lina", "зоя"}
    assert library.find("Зоя").path == tmp_path / "own" / "зоя" / "workflow.json"


def test_a_missing_directory_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(WorkflowsMissing, match="no such directory"):
        load_workflows(tmp_path / "nowhere")


def test_a_directory_without_personas_is_an_error_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "_common").mkdir()

    with pytest.raises(WorkflowsMissing, match=r"persona\.toml"):
        load_workflows(tmp_path)


def test_a_graph_without_its_persona_is_a_fault(tmp_path: Path) -> None:
    folder = write_persona_folder(tmp_path, plain())
    (folder / "persona.toml").unlink()

    library = load_workflows(tmp_path)

    assert str(library.faults["lina"]).endswith("persona.toml: is missing")


def test_a_persona_without_its_graph_is_a_fault(tmp_path: Path) -> None:
    folder = write_persona_folder(tmp_path, plain())
    (folder / "workflow.json").unlink()

    library = load_workflows(tmp_path)

    assert "workflow.json: cannot be read: No such file" in str(library.faults["lina"])


@pytest.mark.parametrize(
    ("graph", "why"),
    [
        ("no json", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is not an object"),
        ("{}", "has no nodes"),
        ({"nodes": [], "links": []}, r"Export (API)"),
        ({"3": []}, "node 3: has no class_type"),
        ({"3": {"inputs": {}}}, "node 3: has no class_type"),
        ({"3": {"class_type": "KSampler", "inputs": []}}, "node 3: inputs is not an object"),
        (
            plain(**{"13": node("Latent", width=["13", 0], height=64)}),
            "the links run in a circle: 13 → 13",
        ),
        (
            plain(**{"3": ksampler(model=["99", 0])}),
            'node 3 "Draw" (KSampler), input model: links to node 99, which is missing',
        ),
        (
            plain(**{"3": ksampler(model=["11", "0"])}),
            "(KSampler), input model: a link must be [node id, output number]",
        ),
        (
            plain(**{"3": node("CLIPTextEncode", text="", clip=["30", 0])}),
            "there is no sampler",
        ),
        (plain(**{"9": None}), "there is no save node"),
        (
            plain(
                **{"1": node("LoadImage", image="a.png"), "9": node("SaveImage", images=["1", 0])}
            ),
            "nothing is drawn from a prompt: there is no sampler",
        ),
        (
            plain(**{"27": node("LoadConditioning", file="x")}),
            'node 3 "Draw" (KSampler), input positive: leads to no text',
        ),
        (
            plain(**{"3": ksampler(seed="dice")}),
            "input seed: a seed must be a whole number, not 'dice'",
        ),
        (
            plain(**{"40": lora(strength="0.8")}),
            'node 40 "LoRA" (LoraLoaderModelOnly), input strength_model: must be a number',
        ),
        (
            plain(**{"40": lora(strength=True)}),
            "input strength_model: must be a number, not True",
        ),
        (plain(**{"40": lora(name="")}), "input lora_name: must be the name of a file"),
    ],
)
def test_what_is_wrong_with_a_graph_is_named(tmp_path: Path, graph: object, why: str) -> None:
    broken = fault(tmp_path, graph)

    assert "lina/workflow.json" in str(broken)
    assert why in str(broken)


def test_a_fault_knows_node_and_input(tmp_path: Path) -> None:
    broken = fault(tmp_path, plain(**{"3": ksampler(seed=None)}))

    assert (broken.file.name, broken.node, broken.input_name) == (
        "workflow.json",
        '3 "Draw" (KSampler)',
        "seed",
    )


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    workflow = loaded(tmp_path, "\ufeff" + json.dumps(plain()))

    assert workflow.width == 1024


def test_two_personas_share_a_graph_and_set_inputs_of_it(tmp_path: Path) -> None:
    write_persona_folder(tmp_path, plain(), persona="_common")
    (tmp_path / "_common" / "persona.toml").unlink()
    for name, strength in (("lina", "0.5"), ("may", "1")):
        write_persona_folder(
            tmp_path,
            "unused",
            persona=name,
            more=f"""
            workflow = "../_common/workflow.json"
            [inputs]
            "LoRA".lora_name = "{name}_v2.safetensors"
            "40".strength_model = {strength}
            "Size".width = 832
            """,
        )

    library = load_workflows(tmp_path)

    assert not library.faults
    assert library.find("lina").width == 832
    assert library.find("lina").requirements.model_set != library.find("may").requirements.model_set
    assert {
        file.name for file in library.find("may").requirements.models if file.input == "lora_name"
    } == {"may_v2.safetensors"}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('"Nobody".seed = 1', "inputs = 'Nobody': no node of workflow.json has this id or title"),
        ('"3".sed = 1', 'node 3 "Draw" (KSampler), input sed: there is no such input'),
        ('"3".steps = "many"', "input steps: is 8 in the graph and cannot be 'many'"),
        ('"40".strength_model = true', "input strength_model: is 0.8 in the graph"),
        ('"3".model = ["28"]', "input model: a link must be [node id, output number]"),
        ('"3".model = ["99", 0]', "links to node 99, which is missing"),
    ],
)
def test_a_wrong_input_in_persona_toml_is_named(tmp_path: Path, line: str, why: str) -> None:
    broken = fault(tmp_path, plain(), more=f"[inputs]\n{line}")

    assert why in str(broken)


def test_a_title_that_two_nodes_have_is_no_name(tmp_path: Path) -> None:
    graph = plain(**{"41": lora(model="40"), "11": node("Shift", shift=3, model=["41", 0])})

    broken = fault(tmp_path, graph, more='[inputs]\n"LoRA".strength_model = 1')

    assert "several nodes have this title: 40" in str(broken)


def test_a_host_needs_what_leads_to_the_picture_and_no_more(tmp_path: Path) -> None:
    aside = {"70": node("FancyLoader", lora_name="other.safetensors"), "71": lora(model="28")}

    workflow = loaded(tmp_path, plain(**aside))

    assert "FancyLoader" not in workflow.requirements.classes
    assert workflow.requirements.classes >= {"KSampler", "PreviewImage", "SaveImage"}
    assert workflow.requirements.models == {
        ModelFile(class_type="UNETLoader", input="unet_name", name="z.safetensors"),
        ModelFile(class_type="CLIPLoader", input="clip_name", name="qwen.safetensors"),
        ModelFile(class_type="VAELoader", input="vae_name", name="ae.safetensors"),
        ModelFile(class_type="LoraLoaderModelOnly", input="lora_name", name="lina.safetensors"),
    }


def test_files_are_sorted_into_the_folders_of_comfyui(tmp_path: Path) -> None:
    scaled = {
        "50": node("UpscaleModelLoader", model_name="4x.pth"),
        "51": node("ImageUpscaleWithModel", upscale_model=["50", 0], image=["8", 0]),
        "9": node("SaveImage", images=["51", 0], filename_prefix="x"),
    }
    write_persona_folder(tmp_path, plain(**scaled))

    files = required_model_files(load_workflows(tmp_path))

    assert files == {
        "diffusion_models": {"z.safetensors"},
        "loras": {"lina.safetensors"},
        "text_encoders": {"qwen.safetensors"},
        "upscale_models": {"4x.pth"},
        "vae": {"ae.safetensors"},
    }


def test_a_lora_kept_in_an_object_is_a_model_file(tmp_path: Path) -> None:
    stack = node(
        "Power Lora Loader (rgthree)",
        model=["28", 0],
        lora_1={"on": True, "lora": "stacked.safetensors", "strength": 0.5},
    )

    workflow = loaded(tmp_path, plain(**{"40": stack}))

    assert "stacked.safetensors" in {file.name for file in workflow.requirements.models}


@pytest.mark.parametrize(
    "other",
    [
        {"40": lora(strength=0.7)},
        {"40": lora(name="may.safetensors")},
        {"28": node("UNETLoader", unet_name="z.safetensors", weight_dtype="default")},
        {"29": node("VAELoader", vae_name="other.safetensors")},
        {"30": node("CLIPLoader", clip_name="q8.safetensors", type="lumina2")},
        {"11": node("ModelSamplingAuraFlow", shift=2.5, model=["40", 0])},
        {"11": node("ModelSamplingAuraFlow", shift=3, model=["41", 0]), "41": lora(model="40")},
    ],
)
def test_other_weights_are_another_model_set(tmp_path: Path, other: dict[str, object]) -> None:
    one = loaded(tmp_path / "one", plain())

    two = loaded(tmp_path / "two", plain(**other))

    assert one.requirements.model_set != two.requirements.model_set


def test_words_size_steps_and_the_spelling_of_numbers_leave_the_model_set_alone(
    tmp_path: Path,
) -> None:
    one = loaded(tmp_path / "one", plain())

    two = loaded(
        tmp_path / "two",
        plain(
            **{
                "3": ksampler(steps=9, seed=5),
                "11": node("ModelSamplingAuraFlow", shift=3, model=["40", 0]),
                "13": node("EmptySD3LatentImage", width=832, height=1216, batch_size=1),
                "27": node("CLIPTextEncode", text="a horse", clip=["30", 0]),
            }
        ),
    )

    assert one.requirements.model_set == two.requirements.model_set
