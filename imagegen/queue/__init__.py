"""arq and Redis: job lease, relay, shutdown, live progress.

- `connections.py`: the Redis connections of the worker
- `redis_connection.py`: connections that cost the event loop less than redis-py's own
- `job_queue.py`: the queue as arq sees it: jobs are due by the clock of Redis, and a poll waits
- `wake_listener.py`: wakes the poll as soon as the hook has enqueued a job
- `job_lease.py`: the lease of a running job, and how soon a dead worker's jobs are found
- `worker_presence.py`: which workers run; a death is noticed before a lease ends
- `circuit_breaker.py`: stops the taking of jobs while different requests fail alike
- `outbox_relay.py`: puts requests that Redis does not know back into the queue
- `live_progress.py`: live progress of a drawing, and the message that a request has ended
- `warm_claims.py`: which models a worker loads ahead, for all workers
- `persona_reload.py`: reloads the personas in all workers when they are asked to
- `foreign_keys.py`: warns of another program in the queue's database
- `shutdown.py`: graceful shutdown after SIGTERM or SIGINT
"""
