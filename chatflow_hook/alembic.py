"""What a bot's own Alembic leaves alone: the tables and columns that `imagegen migrate` added."""

from typing import Any

from chatflow_hook.tables import OURS


def include_object(
    item: Any,
    _name: str | None,
    _type: str,
    reflected: bool,  # noqa: FBT001 (alembic's form)
    compare_to: Any,
) -> bool:
    """Return False for what is ours in the database; `context.configure` takes this function.

    Alembic calls it for each table, column, index and constraint that `--autogenerate` compares.
    Ours are known by their comment, so those of a newer version are known too. A bot that has an
    `include_object` of its own calls this one in it. Imports nothing of Alembic.
    """
    in_database = item if reflected else compare_to
    table = getattr(in_database, "table", None)
    return OURS not in (getattr(in_database, "comment", None), getattr(table, "comment", None))
