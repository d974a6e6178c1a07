"""A bot with the hook, from a turn to its picture: a script that any environment can run.

`python journey.py FIRST_DIALOG MODULE…` imports the bot's modules, takes DATABASE_URL and REDIS_URL
from the environment, and expects a worker that draws. It prints the installed versions as JSON. It
fails if the hook logs a warning, if a library warns of how the hook uses it, or if arq is there.
"""

import asyncio
import gc
import importlib
import json
import platform
import sys
import warnings
from importlib import metadata
from typing import Any
from uuid import uuid4

import structlog
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from chatflow_hook import ChatFlowHook, Limited, Request, Turn
from chatflow_hook.settings import HookSettings, read

_PATIENCE_S = 60.0


async def main(first_dialog: int) -> None:
    """Run the journey, in two dialogs whose user nobody else has."""
    settings = read(HookSettings)
    address = settings.database
    engine = create_async_engine(address.url, connect_args=address.connect_args)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    async with ChatFlowHook(settings, turn_timeout_s=_PATIENCE_S) as hook:
        in_session = await _request_in_session(hook, first_dialog, sessions)
        await _drawn(hook, in_session)
        await _drawn(hook, await _request_alone(hook, first_dialog + 1))
        asked = await hook.ask(_turn(first_dialog))
        await _drawn(hook, asked)
        varied = await hook.vary(in_session.id)
        await _drawn(hook, varied)
        assert not await hook.cancel(in_session)
        forgotten = await hook.forget_user(first_dialog)
        assert forgotten.requests == 4, forgotten
    await engine.dispose()


def _turn(dialog_id: int) -> Turn:
    return Turn(
        dialog_id=dialog_id,
        user_id=dialog_id - dialog_id % 10,
        chat_id=dialog_id,
        chat_type="private",
        persona="lina",
        text=f"hello {uuid4()}",
    )


async def _request_in_session(
    hook: ChatFlowHook, dialog_id: int, sessions: async_sessionmaker[AsyncSession]
) -> Request:
    for _ in range(3):
        async with sessions.begin() as session:
            request = await hook.on_turn(_turn(dialog_id), session)
        await hook.enqueue(request)
    assert request is not None, "the third message brought no request"
    return request


async def _request_alone(hook: ChatFlowHook, dialog_id: int) -> Request:
    requests = [await hook.on_turn(_turn(dialog_id)) for _ in range(3)]
    assert requests[-1] is not None, "the third message brought no request"
    return requests[-1]


async def _drawn(hook: ChatFlowHook, request: Request | Limited) -> None:
    assert isinstance(request, Request), request
    picture = await hook.wait(request, timeout=_PATIENCE_S)
    assert picture.state == "delivered", picture


def _versions() -> dict[str, str]:
    installed = {each.metadata["Name"].lower(): each.version for each in metadata.distributions()}
    assert "arq" not in installed, "the hook has brought arq"
    return {"python": platform.python_version(), **installed}


def _fail_at_warnings() -> list[object]:
    """Turn warnings into errors; return a list of those that come up where nothing can be raised."""
    unraisable: list[object] = []
    sys.unraisablehook = lambda what: unraisable.append(what.exc_value)
    warnings.simplefilter("error")
    return unraisable


if __name__ == "__main__":
    for module in sys.argv[2:]:
        importlib.import_module(module)
    logged: list[Any] = []

    def _keep(_: object, level: str, event: Any) -> Any:
        if level != "info":
            logged.append(event)
        raise structlog.DropEvent

    structlog.configure(processors=[_keep])
    unraised = _fail_at_warnings()
    asyncio.run(main(int(sys.argv[1])))
    gc.collect()
    assert not logged, logged
    assert not unraised, unraised
    sys.stdout.write(json.dumps(_versions()))
