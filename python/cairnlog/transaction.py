"""What is asked about transactions that stay open, and what it answers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._native import TransactionCheck

logger = logging.getLogger("cairnlog")


class TransactionAnswer(IntEnum):
    """What is to become of an open transaction."""

    UNKNOWN = 0
    """It is not known yet: it is asked again later."""
    COMMIT = 1
    """Its message goes to its queue."""
    ROLLBACK = 2
    """Nobody will ever see its message."""


def _ask(
    checker: Callable[[TransactionCheck], TransactionAnswer | None], check: TransactionCheck
) -> int:
    """Asks a checker; what it raises is logged, and counts as not known."""
    try:
        answer = checker(check)
    except BaseException:
        logger.exception("the checker failed that was asked about %r", check)
        return TransactionAnswer.UNKNOWN
    if isinstance(answer, TransactionAnswer):
        return answer
    if answer is not None:
        logger.error("the checker gave no answer about %r, but %r", check, answer)
    return TransactionAnswer.UNKNOWN
