"""What opening a store is busy with, and who is told how far it is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._native import RecoveryProgress

logger = logging.getLogger("cairnlog")


class RecoveryPhase(IntEnum):
    """What opening a store is busy with, in the order the phases come in."""

    LOG = 0
    """It looks for the end of the log: every record is checked."""
    QUEUES = 1
    """It brings records to the consume queues and the key index."""


def _tell(listener: Callable[[RecoveryProgress], object], progress: RecoveryProgress) -> bool:
    """Tells a listener; what it raises is logged. Says whether to tell it more."""
    try:
        listener(progress)
    except BaseException:
        logger.exception("the listener failed that was told %r; it is told nothing more", progress)
        return False
    return True
