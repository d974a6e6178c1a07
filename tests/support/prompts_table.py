"""The prompts of all personas for the same conversations, as in docs/prompts.md.

`python -m tests.support.prompts_table` writes them into the page.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from imagegen.pipeline.dry_run import DialogFile, read_dialog
from imagegen.prompts.brief import Brief
from imagegen.prompts.scene import WrittenPrompt
from imagegen.prompts.template import shipped_template
from tests.support.shipped_workflows import shipped_workflows

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "prompts.md"
DIALOGS = {file.stem: read_dialog(file) for file in sorted((ROOT / "tests/dialogs").glob("*"))}
PERSONAS = {
    name: workflow.persona for name, workflow in sorted(shipped_workflows().workflows.items())
}

_START = "<!-- begin: python -m tests.support.prompts_table -->\n"
_END = "<!-- end -->\n"


def prompts(dialog: DialogFile) -> Mapping[str, WrittenPrompt]:
    """Return the template's prompt of each persona for a dialog, at the rating it asks for."""
    return {
        name: shipped_template().write(
            Brief(persona=persona, talk=dialog.conversation, rating=dialog.rating)
        )
        for name, persona in PERSONAS.items()
    }


def page_section(page: str) -> str:
    """Return what a page has between its two marks."""
    return page.partition(_START)[2].partition(_END)[0]


def render_section() -> str:
    """Return what a page should have there."""
    return "\n".join(line for name, dialog in DIALOGS.items() for line in _section(name, dialog))


def _section(name: str, dialog: DialogFile) -> Iterator[str]:
    yield f"### {name.replace('_', ' ').capitalize()}\n"
    yield f"`tests/dialogs/{name}.json`, rating {dialog.rating}:\n"
    said = [(one.role, one.text) for one in dialog.history]
    said += [("user", dialog.text), ("persona", dialog.reply or "")]
    yield from (f"- {role}: {text}" for role, text in said)
    yield "\n| persona | summary | prompt |\n|---|---|---|"
    for persona, prompt in prompts(dialog).items():
        yield f"| {persona} | {prompt.summary} | {prompt.text} |"
    yield ""


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    head, tail = page.partition(_START)[0], page.partition(_END)[2]
    PAGE.write_text(f"{head}{_START}{render_section()}{_END}{tail}", encoding="utf-8")
