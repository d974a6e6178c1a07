"""Chaos test: bots ask for pictures while faults are injected, then a verdict from outside.

`run.py`: one run from start to verdict; `__main__.py` is its command.
`schedule.py`, `fault.py`, `fault_injector.py`: which fault happens when, and what it does.
`postgres_faults.py`, `redis_faults.py`, `store_faults.py`, `clock.py`: how some of them are made.
`bot.py`, `workers.py`: the bots and the workers under test.
`sandbox_process.py`, `sandbox_client.py`: ComfyUI hosts and Telegram in a process of their own.
`evidence.py`, `gather_evidence.py`, `log_faults.py`: what is known after the run.
`verdict.py`, `violation.py`, `table.py`, `request_history.py`: what is wrong, and how it is shown.
"""
