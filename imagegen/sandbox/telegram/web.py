"""The chats as web pages, for a person who wants to look at them."""

from collections.abc import Iterable
from html import escape
from json import JSONDecodeError, loads
from urllib.parse import quote

from aiohttp import web

from imagegen.sandbox.telegram.chats import Chats
from imagegen.sandbox.telegram.files import media_type
from imagegen.sandbox.telegram.message import WRITTEN, ChatMessage

_STYLE = """
body { margin: 0; background: #d7e3ec; font: 16px/1.4 system-ui, sans-serif; color: #111; }
header { background: #4a7fa7; color: #fff; padding: 12px 16px; font-weight: 600;
  position: sticky; top: 0; z-index: 1; }
header a { color: #fff; text-decoration: none; margin-right: 12px; }
main { max-width: 640px; margin: 0 auto; padding: 16px; display: flex; flex-direction: column;
  gap: 10px; }
article { background: #fff; border-radius: 12px; max-width: 85%; overflow: hidden;
  align-self: flex-start; box-shadow: 0 1px 2px #0003; overflow-wrap: anywhere; }
article.written { background: #e1f6c9; align-self: flex-end; }
article p { margin: 0; padding: 8px 12px; white-space: pre-wrap; }
article img { display: block; max-width: 100%; max-height: 70vh; }
article footer { color: #567; font-size: 12px; padding: 0 12px 8px; }
article footer:first-child { padding-top: 8px; }
.spoiler { overflow: hidden; }
.spoiler img { filter: blur(28px); }
.spoiler:hover img { filter: none; }
.buttons { display: flex; flex-wrap: wrap; gap: 4px; padding: 0 12px 8px; }
.buttons span { background: #dbe8f2; border-radius: 8px; padding: 4px 10px; font-size: 14px; }
a.chat { background: #fff; border-radius: 12px; padding: 12px 16px; color: inherit;
  text-decoration: none; display: flex; gap: 16px; }
a.chat span { color: #567; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
a.chat span:last-child { margin-left: auto; flex: none; }
"""


# Messages are untrusted: nothing in a page may run or load anything from elsewhere.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def add_pages(app: web.Application, chats: Chats) -> None:
    """Add the routes for the list of chats, for each chat, and for the files in them."""

    async def show_list(_: web.Request) -> web.Response:
        return _html(chat_list_page(chats))

    async def show_chat(request: web.Request) -> web.Response:
        return _html(chat_page(chats, int(request.match_info["chat_id"])))

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


def chat_list_page(chats: Chats) -> str:
    """Render the list of chats that hold a message, the latest first."""
    messages_by_chat = {
        chat_id: list(messages.values()) for chat_id, messages in chats.current.items() if messages
    }
    chat_ids = sorted(
        messages_by_chat, key=lambda chat_id: messages_by_chat[chat_id][-1].when, reverse=True
    )
    rows = [_row(chat_id, messages_by_chat[chat_id]) for chat_id in chat_ids]
    return _document("Chats", "Chats", rows or ["<p>Nothing was sent yet.</p>"])


def _row(chat_id: int, messages: list[ChatMessage]) -> str:
    last = messages[-1]
    words = last.text or last.caption or "a picture"
    count = "1 message" if len(messages) == 1 else f"{len(messages)} messages"
    return (
        f'<a class="chat" href="/chat/{chat_id}"><strong>{chat_id}</strong>'
        f"<span>{escape(words[:80])}</span><span>{count}</span></a>"
    )


def chat_page(chats: Chats, chat_id: int) -> str:
    """Render a chat from its first message to its last."""
    messages = chats.current.get(chat_id, {})
    title = f"Chat {chat_id}"
    shown = [_message(message) for message in messages.values()]
    return _document(title, f'<a href="/">‹</a>{title}', shown or ["<p>No message.</p>"])


def _message(message: ChatMessage) -> str:
    side = ' class="written"' if message.method == WRITTEN else ""
    words = message.text or message.caption
    parts = [
        _media(message),
        f"<p>{escape(words)}</p>" if words else "",
        _buttons(message.reply_markup),
        f"<footer>{escape(_facts(message))}</footer>",
    ]
    return f'<article{side} id="m{message.message_id}">{"".join(parts)}</article>'


def _media(message: ChatMessage) -> str:
    if message.file_id is None:
        return ""
    address = f"/file/{quote(message.file_id, safe='')}"
    if message.photo is None:
        return f'<p><a href="{address}">a file</a></p>'
    kind = "spoiler" if message.has_spoiler else "plain"
    return f'<div class="{kind}"><img src="{address}" alt="picture {message.message_id}"></div>'


def _buttons(markup: str | None) -> str:
    labels = [f"<span>{escape(label)}</span>" for label in _labels(markup)]
    return f'<div class="buttons">{"".join(labels)}</div>' if labels else ""


def _labels(markup: str | None) -> list[str]:
    try:
        rows = loads(markup or "{}")["inline_keyboard"]
        return [str(button["text"]) for row in rows for button in row]
    except (JSONDecodeError, KeyError, TypeError):
        return []


def _facts(message: ChatMessage) -> str:
    reply, thread = message.reply_to_message_id, message.message_thread_id
    facts = [
        f"{message.when:%H:%M:%S}",
        f"#{message.message_id}",
        f"answers #{reply}" if reply else "",
        f"topic {thread}" if thread else "",
        "spoiler" if message.has_spoiler else "",
        "protected" if message.protect_content else "",
        "edited" if message.method.startswith("edit") else "",
    ]
    return " · ".join(fact for fact in facts if fact)


def _document(title: str, heading: str, parts: Iterable[str]) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><header>{heading}</header><main>{''.join(parts)}</main></body></html>"
    )
