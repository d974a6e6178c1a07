"""The main job on this machine: a chat with each persona, up to the photo."""
