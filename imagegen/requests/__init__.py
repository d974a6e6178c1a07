"""The SQL of image requests: claim, states, deliveries, queries.

claim.py: a request as the job that has claimed it sees it.
state_changes.py: which state may follow which; the fence by which only its present job may write.
repository.py: all that a job does to a request: claim, draw, deliver, end.
endings.py: what an end writes, with a picture or without.
deliveries.py: attempts to send, and the dialog's watermark.
chat_ends.py: ends of which a chat was not told yet.
queries.py: requests as an operator sees them.
costs.py: what the drawn pictures cost.
retry.py: puts a failed request back into the queue.
covers.py: orders covers and watches them being drawn.
"""
