"""The statements that put prompts on the list of stray prompts, and take them off it.

A stray prompt is one that may still be on its host though no request needs it.
"""

from typing import Any

from sqlalchemy import Select, bindparam, delete
from sqlalchemy.dialects.postgresql import Insert, insert

from chatflow_hook.direct_query import DirectQuery
from imagegen.db.tables import StrayPrompt

ADD_STRAY = DirectQuery(
    insert(StrayPrompt)
    .values(prompt_id=bindparam("prompt_id"), host=bindparam("host"))
    .on_conflict_do_nothing()
)
REMOVE_STRAY = DirectQuery(
    delete(StrayPrompt).where(StrayPrompt.prompt_id == bindparam("prompt_id"))
)


def adding_strays(prompts: Select[tuple[Any, Any]]) -> Insert:
    """Return the statement that adds the prompts that a query returns, by their ids and hosts."""
    return insert(StrayPrompt).from_select(["prompt_id", "host"], prompts).on_conflict_do_nothing()
