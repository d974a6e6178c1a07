"""What docs/from-celery.md gives to copy: the service of the worker, and the loop over personas."""

import asyncio
import re
from pathlib import Path

import yaml

from imagegen.settings import Settings

PAGE = (Path(__file__).parents[3] / "docs" / "from-celery.md").read_text("utf-8")
# Of S3, read by its client.
OF_S3 = {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def block(pattern: str) -> str:
    """Return the only part of the page that matches."""
    (found,) = re.findall(pattern, PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_service_is_given_variables_that_the_worker_reads_and_folders_that_it_mounts() -> None:
    service = yaml.safe_load(block(r"^```yaml\n(.*?)^```$"))["imagegen"]

    variables = dict(each.split("=", 1) for each in service["environment"])
    assert variables.keys() - OF_S3 <= {name.upper() for name in Settings.model_fields}
    assert variables["WORKFLOWS_DIR"] in {each.split(":")[1] for each in service["volumes"]}
    assert service["command"] == "imagegen worker"


async def test_the_loop_makes_a_folder_for_each_key_of_the_bots_personas() -> None:
    loop = block(r"^(    for each in .*?\n    done\n)")

    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", f'imagegen() {{ echo "$3" "$7"; }}\n{loop}'), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()

    made = dict(line.split() for line in output.decode().casefold().splitlines())
    keys = "anastasia ash hani julie lina marianna mei pai roxy sasha stacey taya yuna"
    assert " ".join(sorted(made)) == keys
    assert made["yuna"] == "old/una_prod_mvp_v2.json"
