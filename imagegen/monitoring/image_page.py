"""The page of the worker's HTTP server from which a caller without a chat fetches its picture."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import structlog
from aiohttp import web

from imagegen.errors import Unavailable
from imagegen.storage.image_links import PATH, ImageLinks
from imagegen.storage.store import ImageLost, ImageStore

log = structlog.get_logger(__name__)

# Nobody but the caller keeps it, and no browser takes it for anything but a picture.
_HEADERS = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}

FindImage = Callable[[UUID], Awaitable[str | None]]


def route(links: ImageLinks, store: ImageStore, find_image: FindImage) -> web.RouteDef:
    """Return the route of the page.

    `find_image` returns the name of a request's image; None if there is none that may be fetched.
    """

    async def image(request: web.Request) -> web.Response:
        try:
            request_id = UUID(request.match_info["request_id"])
        except ValueError:
            return _refusal(404, "there is no such picture")
        query = request.query
        if not links.is_valid(
            request_id, expires=query.get("expires", ""), signature=query.get("signature", "")
        ):
            return _refusal(403, "the address is not valid, or not any more")
        try:
            name = await find_image(request_id)
            if name is None:
                return _refusal(404, "there is no such picture")
            data = await store.get(name)
        except ImageLost:
            return _refusal(404, "there is no such picture")
        except Unavailable as error:
            log.warning(
                "picture not served",
                request_id=str(request_id),
                code=error.code,
                why=error.sentence,
            )
            return _refusal(503, "try again")
        kind = name.rpartition(".")[2]
        return web.Response(body=data, content_type=f"image/{kind}", headers=_HEADERS)

    return web.get(PATH, image)


def _refusal(status: int, sentence: str) -> web.Response:
    return web.json_response({"error": sentence}, status=status, headers=_HEADERS)
