"""What is tried again, how soon, and what is not."""

import pytest
import redis

from relay_jobs.airflow import RETRY_BY_CAUSE
from relay_jobs.errors import Fenced, GateRefused, InvalidWorkspace, LeaseHeld, PassVoid, Refused, UnsupportedServer


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (redis.exceptions.ConnectionError("reset"), 5),
        (redis.exceptions.TimeoutError("slow"), 5),
        (redis.exceptions.BusyLoadingError("loading"), 15),
        (redis.exceptions.ReadOnlyError("a replica"), 15),
        (redis.exceptions.OutOfMemoryError("full"), 15),
        (Fenced("taken over"), 5),
        (PassVoid("restarted"), 5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_passes_by_itself_is_tried_again_soon(error, seconds):
    decision = RETRY_BY_CAUSE.evaluate(error, 1, 5)
    assert decision.action.value == "retry"
    assert decision.retry_delay.total_seconds() == seconds
    assert decision.reason


@pytest.mark.parametrize(
    "error",
    [
        redis.exceptions.AuthenticationError("wrong password"),
        redis.exceptions.AuthorizationError("no rights"),
        redis.exceptions.NoPermissionError("no rights"),
        Refused("no", ["because"]),
        GateRefused("no", ["because"]),
        LeaseHeld("the lease", "somebody", 12.0),
        InvalidWorkspace("two words"),
        UnsupportedServer("a cluster"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_second_try_would_not_change_fails_at_once(error):
    decision = RETRY_BY_CAUSE.evaluate(error, 1, 5)
    assert decision.action.value == "fail"
    assert decision.reason


def test_anything_else_is_left_to_airflow():
    assert RETRY_BY_CAUSE.evaluate(KeyError("a bug"), 1, 5).action.value == "default"
