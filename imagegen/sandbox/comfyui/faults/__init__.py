"""What goes wrong on a host, by script.

`kinds.py`: the kinds of fault, each with its line of help.
`fault.py`: one fault, and how it is written as text.
`script.py`: the faults to come and those that happened.
`injection.py`: what the parts of a host share of its faults; the freeze.
`prompt_faults.py`: faults of a running prompt. Those of sockets and of HTTP answers are where
these are: `../websocket/faulty_connection.py`, `../http/faulty_proxy.py`.
`host_faults.py`: restarts and freezes of the whole host.
"""
