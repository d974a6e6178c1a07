"""Who is drawn, and in what scene.

- builder.py: writes a prompt from the bot's own words, a language model's scene or the template
- brief.py: what a builder is given for one picture
- scene.py: the phrases of a scene, how they become a prompt, and what is stored of them
- llm.py: asks a language model for a scene
- llm_answers.py: reads the scene in an answer
- llm_instructions.py: the messages that the model gets
- template.py: writes a prompt without a model
- template_phrases.py: picks the template's phrases
- conversation_reader.py: finds place, weather, clothes and so on in a conversation
- vocabulary.py, vocabulary.toml: the words that it finds, and their phrases
"""
