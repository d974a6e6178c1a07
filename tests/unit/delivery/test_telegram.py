"""What a send costs besides the send."""

import gc
import weakref

from aiogram.methods.base import Response
from aiogram.types import Message

from imagegen.delivery import telegram  # noqa: F401 (its import builds the type)


def test_the_type_of_telegrams_answer_is_built_once() -> None:
    answer = weakref.ref(Response[Message])
    gc.collect()

    assert answer() is not None
