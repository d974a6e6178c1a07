"""What is tidied up: old rows and images, users, prompts left on hosts, another service's queue.

due_work.py: says whether there is any of it, and other work that is looked for at intervals.
retention_limits.py: says what was kept long enough.
retention.py: erases it.
image_cleanup.py: erases images that no request names any more.
user_erasure.py: erases everything of one user.
forgotten_messages.py: deletes pictures that arrived in a chat after their user was erased.
stray_prompts.py: removes prompts that nobody waits for from their hosts.
celery_import.py: makes requests of the pictures that wait in a Celery service.
celery_messages.py: reads its messages.
"""
