"""What is never drawn, and for whom what may be.

- screen.py: checks conversations and prompts
- rules.py: the verdict on the topics of a text
- lexicon.py, lexicon/: the words of each topic, Russian and English
- normalise.py: a text in plain letters, with disguises undone
- age_detection.py: ages that a sentence mentions
- age_context.py, age_english.py, age_russian.py: when a number is an age
- numbers.py: which number a word stands for
- person_names.py: names of real people
- rating.py: the effective rating
- refusal.py: the errors of a refusal, with the sentence for the person in the chat
- image_screen.py: an operator's own check of drawn images
"""
