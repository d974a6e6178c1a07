"""What can be decided of a delivery before its image is there: while a host draws it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chatflow_hook.turn import Rating
from imagegen.errors import ImagegenError
from imagegen.pipeline.content_policy import DeliveryOptions
from imagegen.pipeline.context import JobContext
from imagegen.pipeline.early_task import EarlyTask
from imagegen.pipeline.photo_message import Caption
from imagegen.requests.claim import ClaimedRequest
from imagegen.safety.rating import drawn_rating
from imagegen.workflows.persona import Persona


@dataclass(frozen=True, kw_only=True)
class PreparedDelivery:
    """How a picture is delivered, and its caption, which one without a chat does not have."""

    options: DeliveryOptions
    caption: Caption


class DeliveryPreparation:
    """Prepares the delivery of one request while it is drawn; made by `preparing`, which ends it."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._early = EarlyTask[PreparedDelivery](name="preparation")

    def begin(self, request: ClaimedRequest) -> None:
        """Begin to prepare, only once, and only for a chat and a picture at safe.

        For one above safe everything is asked when it is there, since that may have been revoked.
        """
        is_safe = drawn_rating(request.drawn_rating) is Rating.SAFE
        if is_safe and request.chat_id is not None and not self._early.has_begun:
            self._early.begin(prepare(self._context, request))

    async def result(self, request: ClaimedRequest) -> PreparedDelivery:
        """Return what was prepared, or prepare it now.

        Raises as `prepare` does.
        """
        is_safe = drawn_rating(request.drawn_rating) is Rating.SAFE
        early = await self._early.result() if is_safe else None
        return await prepare(self._context, request) if early is None else early

    async def end(self) -> None:
        """Cancel what is not done yet."""
        await self._early.end()


@asynccontextmanager
async def preparing(context: JobContext) -> AsyncIterator[DeliveryPreparation]:
    """Yield what prepares a delivery; what is not done at the end of the block is cancelled."""
    preparation = DeliveryPreparation(context)
    try:
        yield preparation
    finally:
        await preparation.end()


async def prepare(context: JobContext, request: ClaimedRequest) -> PreparedDelivery:
    """Decide how a drawn request is delivered, and choose its caption.

    Raises:
        Refused: the picture may not be sent any more.
        ClaimLost: another job has the request, or it has ended.
        Unavailable: PostgreSQL is away.
    """
    persona = _persona(context, request)
    options = await context.content_policy.delivery_options(
        request, persona, may_exceed_safe=await may_exceed_safe(context, request)
    )
    caption = Caption()
    if request.chat_id is not None:
        caption = await context.photo_messages.caption(request, persona)
    return PreparedDelivery(options=options, caption=caption)


async def may_exceed_safe(context: JobContext, request: ClaimedRequest) -> bool:
    """Ask whether the picture may be above safe now; not for one that is safe.

    Raises:
        Unavailable: PostgreSQL is away.
    """
    if drawn_rating(request.drawn_rating) is Rating.SAFE:
        return False
    # What was said since the claim counts too.
    await context.turn_reader.catch_up(request.id)
    return await context.requests.may_exceed_safe(request)


def _persona(context: JobContext, request: ClaimedRequest) -> Persona | None:
    try:
        return context.library.current.find(request.persona).persona
    except ImagegenError:  # its folder was removed since, but its image is still delivered
        return None
