"""A ComfyUI for laptops and tests: the wire of a real one, pictures drawn with Pillow."""

from imagegen.sandbox.comfyui.host import SandboxComfyUI as SandboxComfyUI
