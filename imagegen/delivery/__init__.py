"""How a picture reaches the chat."""
