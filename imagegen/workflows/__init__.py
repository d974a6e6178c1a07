"""persona.toml and workflow.json: load, check, bind.

- `library.py`: loads and checks the workflows of all personas
- `persona.py`: the fields of persona.toml
- `graph.py`: a ComfyUI graph in API format
- `graph_search.py`: follows links, and knows what a node is for by its inputs
- `input_discovery.py`: finds prompt text, seeds, size and output image in a graph
- `model_files.py`: the model files that a graph names
- `screening.py`: screens every text of a persona that reaches a host
- `binding.py`: prompt, seed and size into a graph
- `warm_graph.py`: the smallest graph that loads a persona's models
- `errors.py`: what can be wrong with a persona's files
"""
