"""The chats as a web page, for a person who wants to write in them or to look at them.

The page is static (the folder `page`), and uses the routes of chat_routes.py.
"""

from pathlib import Path

from aiohttp import web

from imagegen.sandbox.telegram.chats import Chats
from imagegen.sandbox.telegram.files import media_type

_PAGE = Path(__file__).with_name("page")
_CONTENT_TYPES = {".css": "text/css", ".js": "text/javascript", ".html": "text/html"}

# Messages are untrusted: nothing in them may run, or load anything from elsewhere.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def add_pages(app: web.Application, chats: Chats) -> None:
    """Add the routes for the list of chats, for each chat, and for the files in them."""
    files = {path.name: path.read_bytes() for path in _PAGE.iterdir()}

    def give(name: str) -> web.Response:
        content_type = _CONTENT_TYPES[Path(name).suffix]
        return web.Response(
            body=files[name], content_type=content_type, charset="utf-8", headers=_HEADERS
        )

    async def give_list(_: web.Request) -> web.Response:
        return give("list.html")

    async def give_chat(_: web.Request) -> web.Response:
        return give("chat.html")

    async def give_part(request: web.Request) -> web.Response:
        if (name := request.match_info["name"]) not in files:
            raise web.HTTPNotFound
        return give(name)

    async def give_file(request: web.Request) -> web.Response:
        stored = chats.files.get(request.match_info["file_id"])
        if stored is None:
            raise web.HTTPNotFound
        kind = media_type(stored.content)
        return web.Response(body=stored.content, content_type=kind, headers=_HEADERS)

    app.router.add_get("/", give_list)
    app.router.add_get(r"/chat/{chat_id:-?\d{1,20}}", give_chat)
    app.router.add_get("/page/{name}", give_part)
    app.router.add_get("/file/{file_id}", give_file)
