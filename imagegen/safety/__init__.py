"""What is never drawn, and for whom what may be.

- screen.py: checks conversations and prompts
- dialog.py: answers to questions, and sentences that were cut in two
- reading_time.py: what can be read in time
- rules.py: the verdict on the topics of a text
- lexicon.py, lexicon/: the words of each topic, Russian and English
- unicode_text.py: emoji by their names, and letters by what they look like
- normalise.py: a text in plain letters, with disguises undone
- readings.py: all readings of a sentence, in which the lexicon searches
- known_words.py, words/: whether a text is in words that the screen can read
- labels.py: names of files and styles as words
- clothing.py: words for too little clothing
- word_senses.py: words for a child that mean something else where they stand
- other_senses.py: words for a child that refuse as ever, but mention no child where they stand
- grown_relatives.py: sons and daughters who are said to be grown up
- proper_names.py: names of persons, animals, places and works
- age_detection.py: ages that a sentence mentions
- age_context.py, age_english.py, age_russian.py: when a number is an age
- age_school.py: ages of pupils, by the number of their school year
- age_birth.py, age_relations.py: years of birth, and ages that another number gives
- age_subject.py: whose age it is, or of which thing
- numbers.py, notation.py: which number a word stands for, and numbers that are no ages as written
- person_names.py: names of real people
- rating.py: the effective rating
- refusal.py: the errors of a refusal, with the sentence for the person in the chat
- image_screen.py: a check of drawn images, if the operator has set one
- nsfw_screen.py: the check for nudity that we ship
"""
