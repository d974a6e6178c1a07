"""The shipped personas with their workflows, loaded once for all tests of a process."""

import functools

from imagegen import resources
from imagegen.workflows.library import Library
from imagegen.workflows.screening import screened_workflows


@functools.cache
def shipped_workflows() -> Library:
    """Return the shipped personas, each screened as a worker does at its start."""
    return screened_workflows(resources.path("workflows"))
