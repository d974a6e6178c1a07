"""Finds the dialogs of requests that do not exist any more, without reading all requests at once."""

from collections.abc import Sequence

from sqlalchemy import BigInteger, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from chatflow_hook.tables import Dialog, ImageRequest, is_any_of

_BEFORE_ALL = -(2**63)
# Dialogs that are looked at together: some milliseconds.
_DIALOGS_AT_A_TIME = 500
_NEXT = (
    select(ImageRequest.dialog_id)
    .where(ImageRequest.dialog_id > bindparam("after", type_=BigInteger))
    .distinct()
    .order_by(ImageRequest.dialog_id)
    .limit(_DIALOGS_AT_A_TIME)
)


class GoneDialogs:
    """A walk over the dialogs of all requests; it goes on where it has stopped."""

    def __init__(self) -> None:
        self._after = _BEFORE_ALL

    async def find_next(self, connection: AsyncConnection) -> Sequence[int] | None:
        """Return which of the next dialogs are gone; None after the last, and then begin anew."""
        ids = (await connection.execute(_NEXT, {"after": self._after})).scalars().all()
        if not ids:
            self._after = _BEFORE_ALL
            return None
        # Apart, and not a join, for which PostgreSQL might read all dialogs.
        query = select(Dialog.id).where(is_any_of(Dialog.id, ids))
        existing = set((await connection.execute(query)).scalars())
        self._after = ids[-1]
        return [dialog_id for dialog_id in ids if dialog_id not in existing]
