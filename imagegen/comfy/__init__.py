"""One ComfyUI host: its HTTP and websocket interface, one prompt on it, and its errors.

- `client.py`: HostClient, what jobs and the pool use of a host
- `address.py`: where a host is, and the URLs of its routes
- `errors.py`: what a host can give instead of an image
- `http.py`: HTTP calls and websockets; errors of aiohttp become ours
- `websocket.py`: the events of one prompt, read from its websocket
- `events.py`, `frame_fields.py`, `preview.py`: websocket frames to typed events
- `prompt_job.py`: PromptJob and PromptResult
- `reference_pictures.py`: pictures that a graph loads, uploaded to the host
- `execution.py`: one prompt from its POST to its confirmed end
- `progress.py`, `timeouts.py`: how far a prompt is, and how long it may take
- `prompt_status.py`, `prompt_account.py`, `prompt_cancel.py`: finds a prompt on a host, tells what the host has noted of it, cancels it
- `history.py`: the images and the errors in a history entry
- `error_messages.py`, `redaction.py`: a host's errors as one sentence without private text
- `capabilities.py`: node classes and model files of a host, and what a graph requires
- `host_report.py`: version, memory and queue of all hosts, for people
"""
