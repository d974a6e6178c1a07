"""How a host runs a prompt: validation, order, nodes, cache.

`validation.py`: what is refused before a prompt is queued.
`queue.py`: pending and running prompts, and the history.
`executor.py`: runs the queue's prompts one at a time.
`prompt_run.py`, `interrupts.py`: one prompt from execution_start to its end; what stops it.
`node_order.py`, `cache.py`, `progress.py`: which node is next, what is cached, how far each is.
`node_definitions.py`: the node classes, as in /object_info.
`node_context.py`: what a running node may use, and the values on the links.
`loader_nodes.py`, `sampler_nodes.py`, `image_nodes.py`: the node classes themselves.
`drawing.py`, `portrait_look.py`, `backdrop.py`, `colours.py`: the images.
`files.py`: the folders that they are saved in.
"""
