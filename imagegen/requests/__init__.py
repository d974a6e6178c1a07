"""The SQL of image requests: claim, states, deliveries, queries.

claim.py: a claimed request, and the fence by which only its present job may write to it.
repository.py: all that a job does to a request: claim, draw, deliver, end.
deliveries.py: attempts to send, and the dialog's watermark.
queries.py: requests as an operator sees them.
retry.py: puts a failed request back into the queue.
covers.py: orders covers and watches them being drawn.
"""
