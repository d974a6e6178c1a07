"""The HTTP routes of a host.

`routes.py`: prompts, queue, history, interrupt; the web application.
`jobs.py`: /api/jobs of newer versions.
`object_info.py`: node classes, models, system facts.
`images.py`: uploads and /view.
`proxy.py`: the faults of answers, as a middleware.
`control.py`: the sandbox's own routes under /sandbox.
"""
