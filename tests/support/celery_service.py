"""What a Celery service and its bot put into Redis, by Celery itself."""

import asyncio
from typing import Any

from celery import Celery  # type: ignore[import-untyped]

SEND = "image_generator.generate_and_send"


def app(redis_url: str, **configuration: Any) -> Celery:
    """Return the bot's Celery, whose broker is database 3."""
    celery = Celery(broker=f"{redis_url}/3")
    celery.conf.update(task_serializer="json", **configuration)
    return celery


def picture(user_id: int = 1001, persona: str = "mei", prompt: str = "a walk in the rain") -> Any:
    """Return the arguments of a task that draws a picture and sends it."""
    return [persona, user_id, user_id, prompt, None]


async def send(celery: Celery, arguments: Any, task: str = SEND, **options: Any) -> str:
    """Queue a task as the bot does, and return its id."""
    sent = await asyncio.to_thread(
        celery.send_task, task, args=arguments, **{"queue": "image_generation", **options}
    )
    return str(sent.id)
