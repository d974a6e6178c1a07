"""persona.toml and workflow.json: load, check, bind.

- `library.py`: loads and checks the workflows of all personas
- `persona.py`: the fields of persona.toml
- `graph.py`: a ComfyUI graph in API format
- `graph_file.py`: reads it from an export or from a PNG
- `graph_search.py`: follows links, and knows what a node is for by its inputs
- `clip_tokens.py`: how many tokens a text has at most for CLIP
- `prompt_texts.py`: finds the texts that are drawn
- `prompt_choice.py`: chooses those that the prompt replaces
- `role_lookup.py`: nodes that persona.toml names, and faults that say how to choose
- `input_discovery.py`: finds prompt texts, seeds, size and output image in a graph
- `model_files.py`: the model files that a graph names
- `screening.py`: screens every text of a persona that reaches a host
- `workflow_report.py`, `graph_svg.py`: what is made of a graph, for people, and a picture of it
- `new_persona.py`: the folder of a new persona, made from a graph
- `binding.py`: prompt, seed and size into a graph
- `warm_graph.py`: the smallest graph that loads a persona's models
- `errors.py`: what can be wrong with a persona's files
"""
