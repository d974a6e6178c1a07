"""The worker: from a request's row to the photo in the chat. docs/architecture.md is the map."""
