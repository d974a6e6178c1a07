"""How a picture reaches the chat.

message.py: a photo message before and after it is sent.
telegram.py: the send over aiogram.
telegram_refusals.py: what Telegram's refusals mean.
photo_encoding.py: the forms in which a picture is sent, until Telegram accepts one.
ai_mark.py: tells people that a machine made the picture.
rate_limit.py: Telegram's flood limit.
errors.py: what can go wrong, by what to do next.
"""
