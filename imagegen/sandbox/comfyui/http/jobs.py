"""/api/jobs of newer versions: one list of all prompts, pending, running and finished."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from aiohttp import web

from imagegen.sandbox.comfyui.execution.queue import QueueItem
from imagegen.sandbox.comfyui.state import HostState, is_canonical

Job = dict[str, Any]


class JobRoutes:
    """The routes under /api/jobs."""

    def __init__(self, state: HostState) -> None:
        self._state = state
        self._queue = state.queue

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get("/api/jobs", self.list)
        router.add_get("/api/jobs/{job_id}", self.show)
        router.add_post("/api/jobs/cancel", self.cancel_many)
        router.add_post("/api/jobs/{job_id}/cancel", self.cancel)

    async def list(self, request: web.Request) -> web.Response:
        states = [state for state in request.query.get("status", "").split(",") if state]
        jobs = [job for job in self._jobs() if not states or job["status"] in states]
        jobs.sort(key=lambda job: job["create_time"], reverse=True)
        offset = int(request.query.get("offset", 0))
        limit = int(request.query["limit"]) if "limit" in request.query else None
        shown = jobs[offset:] if limit is None else jobs[offset : offset + limit]
        pagination = {
            "offset": offset,
            "limit": limit,
            "total": len(jobs),
            "has_more": offset + len(shown) < len(jobs),
        }
        return web.json_response({"jobs": shown, "pagination": pagination})

    async def show(self, request: web.Request) -> web.Response:
        job_id = request.match_info["job_id"]
        for job in self._jobs():
            if job["id"] == job_id:
                return web.json_response(job | self._details(job_id, job["status"]))
        return web.json_response({"error": "Job not found"}, status=404)

    async def cancel(self, request: web.Request) -> web.Response:
        cancelled = self._state.cancel(request.match_info["job_id"])
        return web.json_response({"cancelled": cancelled})

    async def cancel_many(self, request: web.Request) -> web.Response:
        job_ids = json.loads(await request.read()).get("job_ids", [])
        invalid = [job_id for job_id in job_ids if not is_canonical(job_id)]
        if invalid:
            refusal = {"error": "job_ids contains invalid id(s)", "invalid_ids": invalid}
            return web.json_response(refusal, status=400)
        return web.json_response({"cancelled": any([*map(self._state.cancel, job_ids)])})

    def _jobs(self) -> Iterator[Job]:
        running = self._queue.running
        if running is not None:
            yield _unfinished(running, "in_progress")
        for item in self._queue.pending:
            yield _unfinished(item, "pending")
        for prompt_id, entry in self._queue.history.items():
            yield _finished(prompt_id, entry)

    def _details(self, job_id: str, state: str) -> Job:
        if state in ("pending", "in_progress"):
            return {}
        entry = self._queue.history[job_id]
        _, _, graph, extra_data, _ = entry["prompt"]
        return {
            "outputs": entry["outputs"],
            "execution_status": entry["status"],
            "workflow": {"prompt": graph, "extra_data": extra_data},
        }


def _unfinished(item: QueueItem, state: str) -> Job:
    return {
        "id": item.prompt_id,
        "status": state,
        "priority": item.number,
        "create_time": item.extra_data["create_time"],
        "outputs_count": 0,
        "previewable_outputs_count": 0,
        **_workflow_id(item.extra_data),
    }


def _finished(prompt_id: str, entry: Mapping[str, Any]) -> Job:
    number, _, _, extra_data, _ = entry["prompt"]
    messages = dict(entry["status"]["messages"])
    started = messages["execution_start"]["timestamp"]
    last_event, last = entry["status"]["messages"][-1]
    images = [
        {**image, "nodeId": node, "mediaType": "images"}
        for node, ui in entry["outputs"].items()
        for image in ui["images"]
    ]
    return {
        "id": prompt_id,
        "status": _STATES[last_event],
        "priority": number,
        "create_time": extra_data["create_time"],
        "execution_start_time": started,
        "execution_end_time": last["timestamp"],
        **({"execution_error": last} if last_event == "execution_error" else {}),
        "outputs_count": len(images),
        "previewable_outputs_count": len(images),
        **({"preview_output": images[0]} if images else {}),
        **_workflow_id(extra_data),
    }


_STATES = {
    "execution_success": "completed",
    "execution_error": "failed",
    "execution_interrupted": "cancelled",
}


def _workflow_id(extra_data: Mapping[str, Any]) -> Job:
    workflow = (extra_data.get("extra_pnginfo") or {}).get("workflow") or {}
    return {"workflow_id": workflow["id"]} if "id" in workflow else {}
