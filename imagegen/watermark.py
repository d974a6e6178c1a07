"""The watermark: at which message of a dialog its last picture was delivered."""

from sqlalchemy import Update, case, func, select, text, update

from chatflow_hook.tables import OURS, Dialog, ImageRequest
from imagegen.claimed import Claimed

_COUNT_IS_OURS = text(
    "(SELECT col_description(attrelid, attnum) IS NOT DISTINCT FROM :ours FROM pg_attribute"
    " WHERE attrelid = 'dialogs'::regclass AND attname = 'message_count')"
).bindparams(ours=OURS)


def moved(request: Claimed) -> Update:
    """Return the UPDATE that moves a dialog's watermark to the request's message.

    Never backwards, and never beyond the present count: a dialog may have begun anew meanwhile.
    """
    # The hook writes a new beginning into the row, and into a count of ours; a bot's own column
    # may lag.
    known = select(ImageRequest.message_count).where(ImageRequest.id == request.id)
    here = func.least(
        known.scalar_subquery(), case((_COUNT_IS_OURS, Dialog.message_count), else_=None)
    )
    return (
        update(Dialog)
        .where(Dialog.id == request.dialog_id)
        .values(
            last_image_generation_at=func.greatest(
                func.coalesce(Dialog.last_image_generation_at, 0), here
            )
        )
    )
