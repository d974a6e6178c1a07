"""Formatted text as the Bot API reads it.

`formatted_text.py`: a text of a call becomes a plain text with entities.
`html.py`, `markdown.py`: HTML and MarkdownV2.
`entities.py`: what both share, and what Telegram marks by itself.
"""
