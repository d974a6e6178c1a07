"""How a picture, and what is told of it, reaches the chat.

chat_sender.py: the one way to a chat, the picture first.
message.py: a photo message before and after it is sent, and a text.
status_text.py: the words of a status message.
telegram.py: what is sent, edited and deleted in a chat, and what came of it.
message_fields.py: how the Bot API takes a message.
bot_api.py: the connection of a bot, and one call.
telegram_refusals.py: what Telegram's refusals mean.
photo_encoding.py: the forms in which a picture is sent, until Telegram accepts one.
ai_mark.py: tells people that a machine made the picture.
rate_limit.py: the pauses that Telegram demands.
pacing.py: its limits, counted so that there are none.
errors.py: what can go wrong, by what to do next.
"""
