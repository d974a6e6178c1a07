"""An API whose callers ask for pictures and fetch them: `uvicorn fastapi_app:app`."""

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import httpx
from chatflow_hook import ChatFlowHook, DatabaseFault, Limited, Turn
from fastapi import FastAPI, HTTPException, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

hook = ChatFlowHook.from_env()
client = httpx.AsyncClient()


@asynccontextmanager
async def lifespan(_):
    async with hook, client:
        yield


app = FastAPI(lifespan=lifespan)


class Scene(BaseModel):
    user_id: int
    dialog_id: int
    text: str
    persona: str = "lina"


@app.post("/pictures", status_code=202)
async def ask(scene: Scene):
    asked = await hook.ask(Turn(chat_id=None, **scene.model_dump()))
    if isinstance(asked, Limited):
        wait_s = (asked.free_at - datetime.now(UTC)).total_seconds()
        raise HTTPException(429, headers={"Retry-After": str(max(1, round(wait_s)))})
    return {"id": asked.id}


@app.get("/pictures/{picture_id}")
async def state(picture_id: UUID, wait_s: Annotated[float, Query(le=60)] = 0):
    picture = await picture_of(picture_id, wait_s)
    return {
        "state": picture.state,
        "is_open": picture.state.is_open,
        "message": picture.message,
        "summary": picture.summary,
    }


@app.get("/pictures/{picture_id}/image")
async def image(picture_id: UUID):
    picture = await picture_of(picture_id)
    if picture.url is None:
        raise HTTPException(404, "there is no picture to see")
    fetched = await client.get(picture.url)
    if fetched.is_error:
        raise HTTPException(502, "the picture cannot be fetched")
    return Response(fetched.content, media_type=fetched.headers["content-type"])


@app.delete("/pictures/{picture_id}")
async def cancel(picture_id: UUID):
    return {"was_open": await hook.cancel(picture_id)}


async def picture_of(picture_id, wait_s=0):
    try:
        return await hook.wait(picture_id, timeout=wait_s)
    except LookupError as error:
        raise HTTPException(404, "there is no such picture") from error


@app.exception_handler(DatabaseFault)
@app.exception_handler(TimeoutError)
async def database_is_away(_, __):
    return JSONResponse({"detail": "try again later"}, status_code=503)
