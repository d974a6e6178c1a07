"""A synchronous bot that keeps its messages in the same database: `python synchronous_bot.py`."""

import os
import threading

from chatflow_hook import Limited, Turn
from chatflow_hook.sync import ChatFlowHook
from sqlalchemy import BigInteger, create_engine, make_url, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker
from telebot import TeleBot, apihelper

apihelper.API_URL = os.getenv("TELEGRAM_API_URL", "https://api.telegram.org") + "/bot{0}/{1}"
bot = TeleBot(os.environ["TELEGRAM_BOT_TOKEN"])
hook = ChatFlowHook.from_env()
engine = create_engine(make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+psycopg"))
Session = sessionmaker(engine)


class Base(DeclarativeBase):
    pass


class Said(Base):
    __tablename__ = "said"
    id: Mapped[int] = mapped_column(primary_key=True)
    chat_id: Mapped[int] = mapped_column(BigInteger, index=True)
    role: Mapped[str]
    content: Mapped[str]


def history_of(session, chat_id):
    rows = session.scalars(
        select(Said).filter_by(chat_id=chat_id).order_by(Said.id.desc()).limit(6)
    )
    return [{"role": row.role, "content": row.content} for row in reversed(rows.all())]


def turn_of(message, session, reply=None):
    return Turn(
        dialog_id=message.chat.id,
        user_id=message.from_user.id,
        chat_id=message.chat.id,
        persona="lina",
        text=message.text,
        reply=reply,
        history=history_of(session, message.chat.id),
        reply_to_message_id=message.message_id,
    )


@bot.message_handler(commands=["photo"])
def photo(message):
    with Session() as session:
        turn = turn_of(message, session)
    asked = hook.ask(turn)  # in a transaction of the hook's own
    if isinstance(asked, Limited):
        bot.reply_to(message, f"The next one is free at {asked.free_at:%H:%M} UTC.")


@bot.message_handler(content_types=["text"])
def talk(message):
    answer = "I'm walking in the park. And you?"  # your language model's answer
    with Session() as session:
        turn = turn_of(message, session, answer)
        for role, content in (("user", message.text), ("assistant", answer)):
            session.add(Said(chat_id=message.chat.id, role=role, content=content))
        request = hook.on_turn(turn, session)  # last before the commit
        session.commit()
    hook.enqueue(request)  # after the commit
    bot.send_message(message.chat.id, answer)


def remember(end):
    note = f"[photo {end.picture.state}: {end.picture.summary}]"
    with Session.begin() as session:
        session.add(Said(chat_id=end.chat_id, role="system", content=note))


Base.metadata.create_all(engine)
threading.Thread(target=hook.on_end, args=(remember,), daemon=True).start()
bot.infinity_polling()
hook.close()
