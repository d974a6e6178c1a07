"""The status page: what the workers do now, for the person who is woken at night.

- `factory.py`: makes the page from settings
- `access.py`: who may see the page, and who may change something
- `status_queries.py`: what the page reads from PostgreSQL
- `waiting.py`: why a request waits
- `snapshot.py`: all that the page shows, read once for all who look
- `request_view.py`: the whole way of one request
- `blurred.py`: pictures before they are clicked
- `actions.py`: retry, pause and resume
- `routes.py`: the routes of the worker's HTTP server
- `page/`: the page itself, static files that read the routes
"""
