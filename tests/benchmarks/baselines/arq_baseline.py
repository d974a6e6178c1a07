"""Plain arq with its defaults, as one writes it in an afternoon: a semaphore of one per host.

Hosts take turns. A job holds its host's semaphore from the post until the picture is fetched and
follows the websocket; then it sends. What goes wrong fails the job, as arq does by default.
"""

import asyncio
import itertools
import json
import os
import uuid
from typing import Any

import aiohttp
from arq.connections import RedisSettings

from tests.benchmarks.baselines.plain_graph import prompt_body

_HOSTS = os.environ.get("COMFYUI_HOSTS", "").split(",")
_TELEGRAM = os.environ.get("TELEGRAM_API_URL", "")
_TOKEN = os.environ.get("TELEGRAM_BOT_TOKEN", "")


async def generate(ctx: dict[str, Any], number: int) -> None:
    """Make one picture, from submit to Telegram."""
    session, host = ctx["session"], next(ctx["turns"])
    async with ctx["semaphores"][host]:
        picture = await _drawn(session, f"http://{host}", number)
    form = aiohttp.FormData({"chat_id": str(1000 + number), "caption": str(number)})
    form.add_field("photo", picture, filename="picture.png", content_type="image/png")
    async with session.post(f"{_TELEGRAM}/bot{_TOKEN}/sendPhoto", data=form) as answer:
        answer.raise_for_status()


async def _drawn(session: aiohttp.ClientSession, host: str, number: int) -> bytes:
    prompt_id, client_id = str(uuid.uuid4()), str(uuid.uuid4())
    async with session.ws_connect(f"{host}/ws?clientId={client_id}") as socket:
        body = prompt_body(number, prompt_id, client_id)
        async with session.post(f"{host}/prompt", json=body) as answer:
            answer.raise_for_status()
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT and _is_over(message.data, prompt_id):
                break
    async with session.get(f"{host}/history/{prompt_id}") as answer:
        outputs = (await answer.json())[prompt_id]["outputs"]
    image = next(each for out in outputs.values() for each in out.get("images", ()))
    async with session.get(f"{host}/view", params=image) as answer:
        answer.raise_for_status()
        return await answer.read()


def _is_over(text: str, prompt_id: str) -> bool:
    frame = json.loads(text)
    facts = frame["data"]
    return (
        frame["type"] == "executing"
        and facts["node"] is None
        and facts.get("prompt_id") == prompt_id
    )


async def _startup(ctx: dict[str, Any]) -> None:
    ctx["session"] = aiohttp.ClientSession()
    ctx["turns"] = itertools.cycle(_HOSTS)
    ctx["semaphores"] = {host: asyncio.Semaphore(1) for host in _HOSTS}


async def _shutdown(ctx: dict[str, Any]) -> None:
    await ctx["session"].close()


class WorkerSettings:
    """What arq reads; all else is as by default."""

    functions = (generate,)
    on_startup = _startup
    on_shutdown = _shutdown
    redis_settings = RedisSettings.from_dsn(os.environ.get("REDIS_URL", "redis://localhost") + "/3")
