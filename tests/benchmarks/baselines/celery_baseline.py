"""The design that we replace, as a Celery application: prefork, concurrency 2, one task per picture.

Worker process n talks to host n alone. A task submits, looks at /history every so many seconds,
fetches the picture and sends it to Telegram; each call is a new HTTP session. Nothing is tried
again: a refused connection is a failed task, as it was there.
"""

import os
import time
import uuid
from typing import Any

import requests
from billiard import current_process  # type: ignore[import-untyped]
from celery import Celery  # type: ignore[import-untyped]

from tests.benchmarks.baselines.plain_graph import prompt_body

_HOSTS = os.environ.get("COMFYUI_HOSTS", "").split(",")
_POLL_S = float(os.environ.get("POLL_S", "2"))
_TELEGRAM = os.environ.get("TELEGRAM_API_URL", "")
_TOKEN = os.environ.get("TELEGRAM_BOT_TOKEN", "")
# What GENERATION_TIMEOUT was.
_GENERATION_S = 120.0
_CALL_S = 30.0

app = Celery(
    "baseline",
    broker=os.environ.get("REDIS_URL", "") + "/3",
    backend=os.environ.get("REDIS_URL", "") + "/4",
)
app.conf.broker_connection_retry_on_startup = True


@app.task(name="generate")  # type: ignore[untyped-decorator] # Celery has no types
def generate(number: int) -> None:
    """Make one picture, from submit to Telegram."""
    host = f"http://{_HOSTS[current_process().index % len(_HOSTS)]}"
    prompt_id = str(uuid.uuid4())
    body = prompt_body(number, prompt_id, str(uuid.uuid4()))
    requests.post(f"{host}/prompt", json=body, timeout=_CALL_S).raise_for_status()
    picture = _fetched(host, _finished(host, prompt_id))
    requests.post(
        f"{_TELEGRAM}/bot{_TOKEN}/sendPhoto",
        data={"chat_id": str(1000 + number), "caption": str(number)},
        files={"photo": ("picture.png", picture, "image/png")},
        timeout=_CALL_S,
    ).raise_for_status()


def _finished(host: str, prompt_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + _GENERATION_S
    while time.monotonic() < deadline:
        answer = requests.get(f"{host}/history/{prompt_id}", timeout=_CALL_S)
        answer.raise_for_status()
        if found := answer.json().get(prompt_id):
            return dict(found)
        time.sleep(_POLL_S)
    raise TimeoutError(f"{prompt_id} did not end")


def _fetched(host: str, entry: dict[str, Any]) -> bytes:
    image = next(each for out in entry["outputs"].values() for each in out.get("images", ()))
    answer = requests.get(f"{host}/view", params=image, timeout=_CALL_S)
    answer.raise_for_status()
    return answer.content
