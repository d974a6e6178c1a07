"""Soak test: thousands of pictures with faults now and then, and a verdict on what has grown.

`run.py`: one run from start to verdict; `__main__.py` is its command.
`chat.py`: people who write again as soon as their picture has come.
`samples.py`, `worker_process.py`: what processes and servers hold, each few seconds.
`growth.py`: what of it has grown, and how much may.
"""
