"""Tokens that one store keeps, while several threads claim by it."""

import threading
from typing import cast

from relay_jobs.calls import Calls
from relay_jobs.claims import Claims


def test_a_heartbeat_finds_its_token_while_other_threads_claim_and_finish() -> None:
    """It looks through all of them, as it does not know the workspace."""
    claims, ended = Claims(cast("Calls", None), 30.0), threading.Event()
    claims._tokens["acme", "mine"] = "t"

    def busy() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            claims._tokens["acme", str(number % 500)] = "other"
            claims.forget("acme", str((number + 250) % 500))

    other = threading.Thread(target=busy)
    other.start()
    try:
        for _ in range(2_000):
            assert claims.token(None, "absent") == ""
            assert claims.token(None, "mine") == "t"
    finally:
        ended.set()
        other.join()
