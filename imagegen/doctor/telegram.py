"""Telegram: whether it can be reached and knows the token; a test message if one is wanted."""

from imagegen.delivery.errors import (
    ChatGone,
    FloodWait,
    NotSent,
    OutcomeUnknown,
    PlaceRefused,
    TokenRevoked,
)
from imagegen.delivery.message import TextMessage
from imagegen.delivery.telegram import Telegram
from imagegen.doctor.finding import DoctorFinding, Findings, green, red, tls_advice, yellow
from imagegen.errors import ImagegenError
from imagegen.settings import TelegramSettings

_TEST_TEXT = "A test message of imagegen doctor."


async def check(settings: TelegramSettings, *, send_to: int | None, timeout_s: float) -> Findings:
    """Yield whether Telegram knows the bot; send a message to the chat `send_to` if there is one."""
    url = str(settings.telegram_api_url).rstrip("/")
    async with Telegram(
        token=settings.telegram_bot_token.get_secret_value(), api_url=url, timeout_s=timeout_s
    ) as bot:
        try:
            name = await bot.probe()
        except ImagegenError as error:
            yield _of_error(error, url)
            return
        yield green(f"{url} knows the bot @{name}, {bot.bot_id}")
        if send_to is None:
            return
        try:
            await bot.send_text(TextMessage(chat_id=send_to, text=_TEST_TEXT))
        except ImagegenError as error:
            yield _of_error(error, url)
        else:
            yield green(f"a test message is in the chat {send_to}")


def _of_error(error: ImagegenError, url: str) -> DoctorFinding:
    match error:
        case TokenRevoked():
            return red(
                f"{url} does not know the token of TELEGRAM_BOT_TOKEN",
                "set it to the token that BotFather shows for the bot; pictures are kept meanwhile",
            )
        case FloodWait():
            return yellow(
                f"{url} knows the bot, and wants a pause of {error.retry_after_s:g} s",
                "nothing: what waits is sent after it",
            )
        case ChatGone() | PlaceRefused():
            return red(
                f"the chat takes no message: {error.sentence}",
                "let its person write /start to the bot, or add the bot to the group",
            )
        case NotSent():
            return red(
                error.sentence,
                tls_advice(error.sentence)
                or "let this machine through to it: firewall, DNS, or TELEGRAM_API_URL",
            )
        case OutcomeUnknown():
            return red(
                f"{url} breaks the connection, has an error of its own, or does not answer in time",
                "try again; if it stays, look at TELEGRAM_API_URL and at status pages of Telegram",
            )
        case _:
            return red(f"{url} refuses: {error.sentence}", "look at TELEGRAM_API_URL")
