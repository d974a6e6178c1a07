"""One ComfyUI host, and many of them."""
