"""A ComfyUI for laptops and tests: the wire of a real one, pictures drawn with Pillow."""

from imagegen.sandbox.comfyui.faults import Fault as Fault
from imagegen.sandbox.comfyui.host import SandboxComfyUI as SandboxComfyUI
from imagegen.sandbox.comfyui.kinds import Kind as Kind
