"""Health checks, host status, metrics.

- `http_server.py`: serves /healthz, /readyz and the pages below
- `image_page.py`: the page from which callers without a chat fetch their pictures
- `readiness.py`: whether the worker can make pictures now, from cached checks
- `checks.py`: the checks of Redis, PostgreSQL, Telegram, the image store, hosts and personas
- `server_clocks.py`: how far the clocks of Redis and PostgreSQL are from the worker's
- `published_values.py`: what each worker publishes in Redis under a key of its own
- `host_status.py`: publishes in Redis how this worker sees the hosts, and reads it
- `known_hosts.py`: all hosts that anybody knows, for commands that run beside the workers
- `worker_status.py`: publishes in Redis that this worker runs, and reads which do
- `status/`: the status page
- `persona_coverage.py`: which personas cannot be drawn, for the log and for /readyz
- `readings.py`: what the worker asks others for when Prometheus asks it
- `metrics_page.py`: /metrics, what Prometheus reads
- `trace_export.py`: sends traces to an OpenTelemetry collector
"""
