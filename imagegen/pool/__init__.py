"""Many hosts: slots, placement, health.

- `pool.py`: Pool, which lends slots on hosts to jobs
- `scheduler.py`: SlotScheduler, which caller gets which slot, and when
- `wait_queue.py`: who waits for a slot, and in which order
- `placement.py`: which host draws the next prompt, and how long that will take
- `host.py`: one host as its pool knows it: its slots, its queue, what it can draw
- `host_queue.py`: the prompts on a host, ours and those of others
- `membership.py`: which hosts a pool has
- `host_orders.py`, `dns_records.py`: what operators have ordered, and the records of a DNS name
- `health.py`: the health of a host as a state machine
- `health_tracking.py`: keeps the health of all hosts, from the ends of prompts and probes
- `health_checks.py`: probes hosts and reads their capabilities
- `shared_slots.py`: leases in Redis for hosts that several workers use
- `slot_scripts.py`: what runs in Redis for these leases
"""
