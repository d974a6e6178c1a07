"""What goes wrong on a host, by script.

`kinds.py`: the kinds of fault, each with its line of help.
`fault.py`: one fault, and how it is written as text.
`script.py`: the faults to come and those that happened.
`injection.py`: what the parts of a host share of its faults; the freeze.
`prompt_faults.py`, `interrupts.py`: faults of a running prompt.
`host_faults.py`: restarts and freezes of the whole host.
"""
