"""The folder of a new persona: what is chosen for its persona.toml from its name and its graph."""

from pathlib import Path

import pytest

from imagegen.workflows.graph_file import read_graph
from imagegen.workflows.new_persona import NewPersona, write_persona
from imagegen.workflows.screening import screened_workflows
from tests.support.workflow_exports import node, plain, write_persona_folder


def written(
    root: Path, *, name: str = "nora", prompt: str = "a cat", has_lora: bool = True
) -> NewPersona:
    """Write a folder from a graph with this prompt."""
    words = node("CLIPTextEncode", text=prompt, clip=["30", 0])
    model = node("ModelSamplingAuraFlow", shift=3.0, model=["40" if has_lora else "28", 0])
    graph = plain(**{"27": words, "11": model}, **({} if has_lora else {"40": None}))
    source = write_persona_folder(root / "source", graph) / "workflow.json"
    return write_persona(root / "new", name, read_graph(source))


@pytest.mark.parametrize(
    ("prompt", "trigger_words"),
    [
        ("ameg2", ("ameg2",)),
        ("ameg2, girl in a grey suit, XY_1 stays in a gym", ("ameg2",)),
        ("Elise_XWMB, she has blonde hair", ("Elise_XWMB",)),
        ("DENISE, a curvy woman", ("DENISE",)),
        ("a photo of woman037", ("woman037",)),
        ("(brit-woman:1.2), smiling", ("brit-woman",)),
        ("1girl, 8k photo", ()),
        ("a well-lit portrait of a beautiful woman", ()),
        ("__name__, a woman", ()),
        ("", ()),
    ],
)
def test_trigger_words_are_the_unknown_words_with_which_the_graphs_prompt_begins(
    tmp_path: Path, prompt: str, trigger_words: tuple[str, ...]
) -> None:
    persona = written(tmp_path, prompt=prompt)

    library = screened_workflows(tmp_path / "new")
    assert persona.trigger_words == trigger_words
    assert persona.needs_trigger_words == (not trigger_words)
    assert library.find("nora").persona.trigger_words == trigger_words


def test_a_graph_without_a_lora_needs_no_trigger_words(tmp_path: Path) -> None:
    persona = written(tmp_path, prompt="ameg2", has_lora=False)

    assert (persona.trigger_words, persona.needs_trigger_words) == ((), False)


def test_a_word_that_breaks_a_ban_is_no_trigger_word(tmp_path: Path) -> None:
    persona = written(tmp_path, prompt="yuna loli_v2 ameg2, a woman")

    assert persona.trigger_words == ("ameg2",)
    assert not screened_workflows(tmp_path / "new").faults


def test_a_name_that_breaks_a_ban_is_not_the_display_name(tmp_path: Path) -> None:
    persona = written(tmp_path, name="yuna")

    library = screened_workflows(tmp_path / "new")
    assert persona.name_fault == "breaks a ban (minor_drawn): 'Yuna'"
    assert not library.faults
    assert library.find("yuna").persona.display_name == persona.display_name == "Alex"
