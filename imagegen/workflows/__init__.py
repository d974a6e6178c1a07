"""persona.toml and workflow.json: load, check, bind."""
