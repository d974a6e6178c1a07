"""A ComfyUI for laptops and tests: the wire of a real one, pictures drawn with Pillow."""

from imagegen.sandbox.comfyui.faults.fault import Fault as Fault
from imagegen.sandbox.comfyui.faults.kinds import FaultKind as FaultKind
from imagegen.sandbox.comfyui.host import SandboxComfyUI as SandboxComfyUI
