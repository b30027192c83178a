"""What is tried again, how soon, and what is not."""

import pydoc

import pytest
import redis

from relay_jobs.airflow import CAUSES, DEFAULT_ARGS, RetryByCause
from relay_jobs.errors import Fenced, GateRefused, InvalidWorkspace, LeaseHeld, PassVoid, Refused, UnsupportedServer

RETRY_BY_CAUSE = RetryByCause()


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


def test_the_longer_it_takes_the_less_often_it_is_tried():
    delays = [
        RETRY_BY_CAUSE.evaluate(redis.exceptions.ConnectionError("away"), number, 10).retry_delay.total_seconds()
        for number in range(1, DEFAULT_ARGS["retries"] + 1)
    ]
    assert delays == [5, 10, 20, 40, 80, 160, 300, 300, 300, 300]
    assert sum(delays) > 25 * 60


def test_a_task_that_was_cleared_often_waits_no_longer_than_five_minutes():
    assert RETRY_BY_CAUSE.evaluate(PassVoid("restarted"), 5000, 5010).retry_delay.total_seconds() == 300


def test_every_cause_names_errors_that_exist():
    names = [name for cause in CAUSES for name in cause.errors]
    assert [name for name in names if not issubclass(pydoc.locate(name), Exception)] == []
