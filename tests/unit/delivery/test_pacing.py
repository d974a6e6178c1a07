"""What a bot sends stays below Telegram's limits of a chat, of a group and of the bot."""

from imagegen.delivery.pacing import Pacing, SendLimits, Window

ANNA, BORIS, GROUP = 1, 2, -100


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def sent_in(seconds: float, *, chat_id: int, share: float = 1.0) -> int:
    """Send whenever it is allowed, and return how many messages that were."""
    clock = Clock()
    pacing = Pacing(clock=clock)
    end, sent = clock.now + seconds, 0
    while clock.now < end:
        wait_s = pacing.wait_s(chat_id, share=share)
        if wait_s:
            clock.now += wait_s
        else:
            pacing.count(chat_id)
            sent += 1
    return sent


def test_a_private_chat_gets_one_message_a_second_with_short_bursts() -> None:
    assert sent_in(60, chat_id=ANNA) == 60
    assert sent_in(0.1, chat_id=ANNA) == 3


def test_a_group_gets_twenty_messages_a_minute() -> None:
    assert sent_in(180, chat_id=GROUP) == 60


def test_texts_get_half_of_it_and_at_least_one() -> None:
    assert sent_in(60, chat_id=ANNA, share=0.5) == 20
    assert sent_in(60, chat_id=GROUP, share=0.5) == 10


def test_a_picture_is_sent_where_texts_have_used_up_their_share() -> None:
    pacing = Pacing(clock=Clock())
    pacing.count(ANNA)

    assert pacing.wait_s(ANNA, share=0.5) == 3
    assert pacing.wait_s(ANNA) == 0


def test_the_bot_sends_thirty_messages_a_second_to_all_chats_together() -> None:
    clock = Clock()
    pacing = Pacing(clock=clock)
    for chat_id in range(1, 31):
        pacing.count(chat_id)

    assert pacing.wait_s(77) == 1
    clock.now += 1
    assert pacing.wait_s(77) == 0


def test_chats_that_have_been_silent_are_forgotten() -> None:
    clock = Clock()
    pacing = Pacing(SendLimits(bot=Window(most=10**6, seconds=1.0)), clock=clock)
    for chat_id in range(1, 1200):
        pacing.count(chat_id)
        clock.now += 1

    pacing.count(BORIS)

    assert pacing.remembered <= 1001
