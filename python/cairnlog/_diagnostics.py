"""Carries the engine's diagnostics to the logger ``cairnlog``.

The engine's threads only fill a bounded queue. A daemon thread, started with the first store, takes
the lines out and logs them; it ends at exit, before the interpreter goes. In a child made by
``fork()`` it is started again with the child's first store.
"""

from __future__ import annotations

import logging
import os
import threading

from . import _native

logger = logging.getLogger("cairnlog")
logger.addHandler(logging.NullHandler())

# How soon a changed level of the logger takes effect.
_REFRESH_SECONDS = 1.0
# How long the exit waits for handlers that are still at work.
_STOP_SECONDS = 2.0

_lock = threading.Lock()
_thread: threading.Thread | None = None


def start() -> None:
    """Starts the forwarding thread, once per process."""
    global _thread
    _native.set_diagnostics_level(logger.getEffectiveLevel())
    with _lock:
        if _thread is None:
            _thread = threading.Thread(target=_run, name="cairnlog-diagnostics", daemon=True)
            _thread.start()


def stop() -> None:
    """Logs what is left and ends the thread."""
    _native.stop_diagnostics()
    with _lock:
        thread = _thread
    if thread is not None and thread is not threading.current_thread():
        thread.join(_STOP_SECONDS)


def _run() -> None:
    while True:
        taken = _native.next_diagnostics(_REFRESH_SECONDS)
        if taken is None:
            return
        lines, dropped = taken
        for level, target, text in lines:
            logger.log(level, "%s", text, extra={"target": target})
        if dropped:
            logger.warning("%d diagnostics were dropped: they came too fast", dropped)
        _native.set_diagnostics_level(logger.getEffectiveLevel())


def _after_fork_in_child() -> None:
    global _lock, _thread
    _native.begin_child()
    _lock = threading.Lock()
    _thread = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_native.hold_locks,
        after_in_parent=_native.release_locks,
        after_in_child=_after_fork_in_child,
    )
