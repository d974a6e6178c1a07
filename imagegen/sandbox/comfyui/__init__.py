"""A ComfyUI for laptops and tests: the wire of a real one, pictures drawn with Pillow.

`host.py`: one host, started, killed and frozen by its owner.
`standalone.py`: a host as a program of its own.
`versions.py`: the differences between the ComfyUI versions that it simulates.
`state.py`: what a host has in memory between its start and its end.
`usage.py`: what the host has drawn: GPU seconds, idle gaps, double drawings.
`http/`, `websocket/`, `execution/`, `faults/`: its parts.
"""

from imagegen.sandbox.comfyui.faults.fault import Fault as Fault
from imagegen.sandbox.comfyui.faults.kinds import FaultKind as FaultKind
from imagegen.sandbox.comfyui.host import SandboxComfyUI as SandboxComfyUI
