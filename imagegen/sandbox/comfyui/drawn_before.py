"""A past for a prompt: its graph was drawn before, so that now all of it is cached."""

import posixpath
from dataclasses import replace
from typing import Any

from imagegen.sandbox.comfyui.cache import Cache
from imagegen.sandbox.comfyui.definitions import Definitions
from imagegen.sandbox.comfyui.desk import Surroundings
from imagegen.sandbox.comfyui.fate import Fate
from imagegen.sandbox.comfyui.feed import Feed
from imagegen.sandbox.comfyui.queue import Item
from imagegen.sandbox.comfyui.run import Run
from imagegen.sandbox.comfyui.trouble import Interrupt


async def draw_before(
    item: Item,
    *,
    definitions: Definitions,
    cache: Cache,
    surroundings: Surroundings,
    file: str | None,
) -> None:
    """Fill the cache with all nodes of a prompt, unseen and at no cost.

    With a `file` what it saved goes by that name, whether there is such a file or not.
    """
    unseen = replace(
        surroundings, feed=Feed({}), seconds_per_picture=0.0, interrupt=Interrupt(), fate=Fate()
    )
    await Run(item, definitions=definitions, cache=cache, surroundings=unseen).finish()
    for node in item.graph if file else ():
        ran = cache.get(node)
        if ran is not None and ran.ui is not None:
            cache.keep(node, replace(ran, ui=_renamed(ran.ui, str(file))))


def _renamed(ui: dict[str, Any], file: str) -> dict[str, Any]:
    name = {"filename": posixpath.basename(file), "subfolder": posixpath.dirname(file)}
    return {**ui, "images": [{**image, **name} for image in ui["images"]]}
