"""The watermark: at which message of a dialog its last picture was delivered."""

from sqlalchemy import bindparam, case, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from chatflow_hook.tables import OURS, Dialog, ImageRequest
from imagegen.claimed import Claimed

_COUNT_IS_OURS = text(
    "(SELECT col_description(attrelid, attnum) IS NOT DISTINCT FROM :ours FROM pg_attribute"
    " WHERE attrelid = 'dialogs'::regclass AND attname = 'message_count')"
).bindparams(ours=OURS)


# The hook writes a new beginning into the row, and into a count of ours; a bot's own column may lag.
_REQUESTED_AT = select(ImageRequest.message_count).where(ImageRequest.id == bindparam("request_id"))
_HERE = func.least(
    _REQUESTED_AT.scalar_subquery(), case((_COUNT_IS_OURS, Dialog.message_count), else_=None)
)
_MOVED = (
    update(Dialog)
    .where(Dialog.id == bindparam("dialog_id"))
    .values(
        last_image_generation_at=func.greatest(
            func.coalesce(Dialog.last_image_generation_at, 0), _HERE
        )
    )
)


async def move(connection: AsyncConnection, request: Claimed) -> None:
    """Move a dialog's watermark to the request's message.

    Never backwards, and never beyond the present count: a dialog may have begun anew meanwhile.
    """
    of_this = {"request_id": request.id, "dialog_id": request.dialog_id}
    await connection.execute(_MOVED, of_this)
