"""Finds the dialogs of requests that do not exist any more, without reading all requests at once."""

from collections.abc import Sequence

from sqlalchemy import BigInteger, and_, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from chatflow_hook.tables import Dialog, ImageRequest

_BEFORE_ALL = -(2**63)
# Dialogs that are looked at together: some milliseconds.
_DIALOGS_AT_A_TIME = 500
_AFTER = bindparam("after", type_=BigInteger)
_NEXT = (
    select(ImageRequest.dialog_id)
    .where(ImageRequest.dialog_id > _AFTER)
    .distinct()
    .order_by(ImageRequest.dialog_id)
    .limit(_DIALOGS_AT_A_TIME)
    .subquery()
)
_LOOK = (
    select(_NEXT.c.dialog_id, Dialog.id.label("existing_id"))
    # Without the second condition a merge join would begin at the first dialog of all.
    .outerjoin_from(_NEXT, Dialog, and_(Dialog.id == _NEXT.c.dialog_id, Dialog.id > _AFTER))
    .order_by(_NEXT.c.dialog_id)
)


class GoneDialogs:
    """A walk over the dialogs of all requests; it goes on where it has stopped."""

    def __init__(self) -> None:
        self._after = _BEFORE_ALL

    async def find_next(self, connection: AsyncConnection) -> Sequence[int] | None:
        """Return which of the next dialogs are gone; None after the last, and then begin anew."""
        rows = (await connection.execute(_LOOK, {"after": self._after})).all()
        self._after = rows[-1].dialog_id if rows else _BEFORE_ALL
        return [row.dialog_id for row in rows if row.existing_id is None] if rows else None
