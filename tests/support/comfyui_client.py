"""A client of a ComfyUI host for tests, and graphs for it to post."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientSession, ClientTimeout, ClientWebSocketResponse

_TIMEOUT_S = 10

MODELS = {
    "diffusion_models": ["z_image_turbo_bf16.safetensors"],
    "text_encoders": ["qwen_3_4b.safetensors"],
    "vae": ["ae.safetensors"],
    "loras": ["ash_zit_v2.safetensors", "una_zit.safetensors"],
}


class ComfyUIClient:
    """One client: an HTTP session, and a websocket under a client id."""

    def __init__(self, session: ClientSession, socket: ClientWebSocketResponse, id_: str) -> None:
        self.session = session
        self.socket = socket
        self.id = id_

    async def post(self, graph: dict[str, Any], **fields: Any) -> str:
        """Post a prompt that the host must accept; returns its id."""
        body = {"prompt": graph, "client_id": self.id, **fields}
        async with self.session.post("/prompt", json=body) as response:
            answer = await response.json()
        assert response.status == 200, answer
        return str(answer["prompt_id"])

    async def wait_for_event(self, event: str, prompt_id: str | None = None) -> dict[str, Any]:
        """Read the websocket up to an event, of one prompt or of any; returns its data."""
        async with asyncio.timeout(_TIMEOUT_S):
            while True:
                frame = await self.socket.receive_json()
                facts: dict[str, Any] = frame["data"]
                if frame["type"] == event and prompt_id in (None, facts.get("prompt_id")):
                    return facts

    async def wait_for_end(self, prompt_id: str) -> list[str]:
        """Read the websocket until a prompt has ended; returns the events on the way."""
        events: list[str] = []
        async with asyncio.timeout(_TIMEOUT_S):
            while True:
                frame = await self.socket.receive_json()
                events.append(frame["type"])
                end = {"node": None, "prompt_id": prompt_id}
                if frame["type"] == "executing" and frame["data"] == end:
                    return events

    async def get(self, path: str) -> Any:
        async with self.session.get(path) as response:
            return await response.json()

    async def send(self, path: str, body: dict[str, Any]) -> Any:
        async with self.session.post(path, json=body) as response:
            return await response.json() if response.content_length else None

    async def picture(self, prompt_id: str) -> bytes:
        """Fetch the first image of a prompt that has ended."""
        entry = (await self.get(f"/history/{prompt_id}"))[prompt_id]
        image = next(iter(entry["outputs"].values()))["images"][0]
        async with self.session.get("/view", params=image) as response:
            assert response.status == 200
            return await response.read()


@asynccontextmanager
async def connect_client(address: str, id_: str | None = None) -> AsyncIterator[ComfyUIClient]:
    """Connect a client, with a new client id or the given one."""
    id_ = id_ or str(uuid.uuid4())
    timeout = ClientTimeout(total=_TIMEOUT_S)
    async with (
        ClientSession(f"http://{address}", timeout=timeout) as session,
        session.ws_connect("/ws", params={"clientId": id_}) as socket,
    ):
        yield ComfyUIClient(session, socket, id_)


def graph_without_model(colour: int, save: str = "SaveImage") -> dict[str, Any]:
    """Return a graph that needs no model."""
    size = {"width": 64, "height": 48, "batch_size": 1, "color": colour}
    prefix = {"filename_prefix": "quick"} if save == "SaveImage" else {}
    return {
        "1": {"class_type": "EmptyImage", "inputs": size},
        "2": {"class_type": save, "inputs": {"images": ["1", 0], **prefix}},
    }


def persona_graph(
    *,
    lora: str = "ash_zit_v2.safetensors",
    seed: int = 1,
    steps: int = 8,
    size: tuple[int, int] = (256, 320),
) -> dict[str, Any]:
    """Return a persona's graph as the worker posts it."""
    width, height = size
    sampler = {
        "seed": seed,
        "steps": steps,
        "cfg": 1.0,
        "sampler_name": "euler",
        "scheduler": "simple",
        "denoise": 1.0,
        "model": ["2", 0],
        "positive": ["4", 0],
        "negative": ["5", 0],
        "latent_image": ["6", 0],
    }
    unet = {"unet_name": "z_image_turbo_bf16.safetensors", "weight_dtype": "default"}
    clip = {"clip_name": "qwen_3_4b.safetensors", "type": "lumina2", "device": "default"}
    with_lora = {"model": ["1", 0], "lora_name": lora, "strength_model": 0.8}
    latent = {"width": width, "height": height, "batch_size": 1}
    return {
        "1": {"class_type": "UNETLoader", "inputs": unet},
        "2": {"class_type": "LoraLoaderModelOnly", "inputs": with_lora},
        "3": {"class_type": "CLIPLoader", "inputs": clip},
        "4": {"class_type": "CLIPTextEncode", "inputs": {"text": "на балконе", "clip": ["3", 0]}},
        "5": {"class_type": "ConditioningZeroOut", "inputs": {"conditioning": ["4", 0]}},
        "6": {"class_type": "EmptySD3LatentImage", "inputs": latent},
        "7": {"class_type": "KSampler", "inputs": sampler},
        "8": {"class_type": "VAELoader", "inputs": {"vae_name": "ae.safetensors"}},
        "9": {"class_type": "VAEDecode", "inputs": {"samples": ["7", 0], "vae": ["8", 0]}},
        "10": {"class_type": "PreviewImage", "inputs": {"images": ["9", 0]}},
    }
