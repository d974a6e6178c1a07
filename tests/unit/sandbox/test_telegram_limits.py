"""The sandbox's Telegram: how often a bot may call, and faults as people write them."""

import pytest

from imagegen.sandbox.telegram.errors import ApiError
from imagegen.sandbox.telegram.fault_text import KINDS, BadFault, parse_fault
from imagegen.sandbox.telegram.faults import ScriptedTrouble, Trouble, TroubleScript
from imagegen.sandbox.telegram.flood import CallLimiter, FloodLimits

ANNA = 1001
GROUP = -55


class Flood:
    """A bot that calls at times of its own."""

    def __init__(self, limits: FloodLimits) -> None:
        self.now_s = 100.0
        self._control = CallLimiter(limits, clock=lambda: self.now_s)

    def retry_after(self, chat_id: int, method: str = "sendMessage") -> int:
        """Call once; returns the seconds to wait, 0 if the call was taken."""
        try:
            self._control.check(method, chat_id)
        except ApiError as refusal:
            return refusal.parameters["retry_after"]
        return 0


def test_a_chat_may_have_a_burst_and_then_one_a_second() -> None:
    flood = Flood(FloodLimits(chat_burst=3, chat_per_minute=10))

    assert [flood.retry_after(ANNA) for _ in range(4)] == [0, 0, 0, 1]
    flood.now_s += 1
    assert flood.retry_after(ANNA) == 0


def test_a_chat_has_a_limit_for_a_minute() -> None:
    flood = Flood(FloodLimits(chat_burst=3, chat_per_minute=4, group_per_minute=2))
    taken = []
    for _ in range(5):
        taken.append(flood.retry_after(ANNA))
        flood.now_s += 1
    in_group = [flood.retry_after(GROUP) for _ in range(3)]

    assert taken == [0, 0, 0, 0, 56]
    assert in_group == [0, 0, 60]


def test_all_chats_together_have_a_limit() -> None:
    flood = Flood(FloodLimits(bot_per_second=2))

    assert [flood.retry_after(chat) for chat in (1, 2, 3)] == [0, 0, 1]


def test_actions_drafts_and_questions_do_not_count() -> None:
    flood = Flood(FloodLimits(chat_burst=1))
    methods = ("sendChatAction", "sendMessageDraft", "getChat", "sendPhoto", "editMessageText")

    assert [flood.retry_after(ANNA, method) for method in methods] == [0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("flood", ScriptedTrouble(trouble=Trouble.flood(3))),
        (
            "drop:accepted=yes,method=sendPhoto,chat=-55,times=ever",
            ScriptedTrouble(
                trouble=Trouble.drop(is_accepted=True),
                method="sendPhoto",
                chat_id=GROUP,
                times=None,
            ),
        ),
        ("late:seconds=0.5,times=2", ScriptedTrouble(trouble=Trouble.late(0.5), times=2)),
    ],
)
def test_a_fault_is_read_from_text(text: str, fault: ScriptedTrouble) -> None:
    read = parse_fault(text)

    assert (read.method, read.chat_id, read.times) == (fault.method, fault.chat_id, fault.times)
    assert (read.trouble.ending, read.trouble.is_accepted, read.trouble.delay_s) == (
        fault.trouble.ending,
        fault.trouble.is_accepted,
        fault.trouble.delay_s,
    )
    assert read.text == text


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_a_fault_without_parameters(kind: str) -> None:
    assert parse_fault(kind).times == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dorp", "there is no fault 'dorp'; there are flood, "),
        ("drop:seconds=1", "drop: 'seconds=1' is no parameter of it; it takes accepted, method"),
        ("drop:accepted", "drop: 'accepted' is no parameter"),
        ("drop:accepted=maybe", "drop: accepted must be yes or no"),
        ("drop:times=0", "drop: times must be 1 or more, or ever"),
        ("late:seconds=soon", "late:seconds=soon: could not convert"),
    ],
)
def test_a_wrong_fault_is_told_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(BadFault) as told:
        parse_fault(text)

    assert str(told.value).startswith(said)


def test_a_fault_happens_as_often_as_it_says_and_to_whom() -> None:
    script, trouble = TroubleScript(), Trouble.flood(3)
    script.add(ScriptedTrouble(trouble=trouble, chat_id=ANNA, times=2))

    happened = [script.next_for("sendMessage", chat) for chat in (ANNA, GROUP, ANNA, ANNA)]

    assert happened == [trouble, None, trouble, None]
