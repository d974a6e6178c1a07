"""The addresses under which a browser finds the chats."""

from aiohttp import web

from imagegen.sandbox.telegram import page
from imagegen.sandbox.telegram.chats import Chats
from imagegen.sandbox.telegram.pictures import media_type

# Chats hold whatever was sent: nothing of it may run or load anything.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def add_pages(app: web.Application, chats: Chats) -> None:
    """Add the list of chats, a page for each, and the files that they show."""

    async def show_list(_: web.Request) -> web.Response:
        return _html(page.chat_list(chats))

    async def show_chat(request: web.Request) -> web.Response:
        return _html(page.chat(chats, int(request.match_info["chat_id"])))

    async def give_file(request: web.Request) -> web.Response:
        stored = chats.files.get(request.match_info["file_id"])
        if stored is None:
            raise web.HTTPNotFound
        kind = media_type(stored.content)
        return web.Response(body=stored.content, content_type=kind, headers=_HEADERS)

    app.router.add_get("/", show_list)
    app.router.add_get(r"/chat/{chat_id:-?\d{1,20}}", show_chat)
    app.router.add_get("/file/{file_id}", give_file)


def _html(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html", headers=_HEADERS)
