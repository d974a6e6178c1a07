"""The steps of a job on a row, taken by a test one by one."""

from uuid import UUID

from imagegen.requests.claim import ClaimedRequest
from imagegen.requests.repository import RequestRepository
from imagegen.storage.store import StoredImage
from tests.support.drawing_plan import PLAN

IMAGE = StoredImage(name="0" * 64 + ".png", width=8, height=8)


async def claimed(requests: RequestRepository, request_id: UUID) -> ClaimedRequest:
    """Claim a request that is open."""
    request = await requests.claim(request_id)
    assert request is not None
    return request


async def drawn(requests: RequestRepository, request_id: UUID) -> ClaimedRequest:
    """Claim a request and bring it to where its picture is stored."""
    request = await claimed(requests, request_id)
    request = await requests.start_drawing(request, PLAN, host="gpu-1")
    await requests.mark_drawn(request, IMAGE, url=None, seconds=None)
    return request
