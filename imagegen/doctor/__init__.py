"""`imagegen doctor`: asks everything that a picture needs, and says what is wrong and what to do.

- `finding.py`: what was found, and the next step
- `examination.py`: asks all subjects at once, each for a limited time
- `busy_machine.py`: whether this machine is too busy to tell who is silent
- `settings.py`, `postgresql.py`, `redis.py`, `clocks.py`, `hosts.py`, `personas.py`, `telegram.py`,
  `language_model.py`, `image_store.py`, `held_back.py`, `workers.py`: one subject each
"""
