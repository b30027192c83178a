"""Asking again and again until something is so; the clock only ends what will never be."""

import re
import time
from collections.abc import Callable
from typing import TypeVar

import httpx

from demo.processes import DemoError

T = TypeVar("T")


def wait_until(holds: Callable[[], T], otherwise: Callable[[], str], patience: float = 120.0) -> T:
    """Ask until the answer is true, and return it; an API server that is just away is no answer.

    Args:
        holds: the question.
        otherwise: what is said when the patience is at its end.
        patience: in seconds; generous, since machines are slow at times.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            answer = holds()
        except httpx.TransportError:
            answer = None  # type: ignore[assignment]
        except DemoError as refused:
            # A server error is what an API server says while its database is away.
            if not re.search(r": 5\d\d ", str(refused)):
                raise
            answer = None  # type: ignore[assignment]
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{otherwise()} (after {patience:.0f} s)")
        time.sleep(0.2)
