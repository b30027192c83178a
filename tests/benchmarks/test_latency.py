"""What the benchmarks say of latencies is right: percentiles, rises, and the best setting at a latency."""

import pytest

from benchmarks.latency import best_at, felt, milliseconds, percentile, rises
from benchmarks.tenants import Request, encode, reply_end


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (0.999, 100), (1.0, 100), (0.0, 1)])
def test_a_percentile_is_the_smallest_value_that_the_share_does_not_exceed(share, value):
    assert percentile(range(1, 101), share) == value


def test_nothing_was_felt_where_nothing_was_asked():
    assert milliseconds([]) == {"requests": 0}


def test_a_latency_counts_from_when_its_request_was_due_and_to_the_phase_it_was_due_in():
    early = Request("reader", due=1.0, sent=1.5, answered=2.5)
    late = Request("reader", due=2.0, sent=2.0, answered=2.25)
    found = felt([early, late], (0.5, 1.9))["reader"]
    assert (found["requests"], found["p99"], found["p99_from_sent"]) == (1, 1500.0, 1000.0)


@pytest.mark.parametrize(
    ("quiet", "busy", "within"),
    [(0.4, 1.4, True), (0.4, 1.5, False), (3.0, 6.0, True), (3.0, 6.1, False), (0.4, 0.3, True)],
)
def test_p99_may_rise_by_a_millisecond_or_to_twice_its_value(quiet, busy, within):
    assert rises({"reader": {"p99": quiet}}, {"reader": {"p99": busy}})["reader"]["within"] is within


def test_the_best_setting_is_the_fastest_of_those_that_tenants_feel_no_more():
    rows = [{"p99": 1.0, "per_second": 10}, {"p99": 2.0, "per_second": 20}, {"p99": 9.0, "per_second": 90}]
    assert best_at(rows, 2.0) == rows[1]
    assert best_at(rows, 0.5) is None


@pytest.mark.parametrize(
    "reply",
    [b"+PONG\r\n", b":12\r\n", b"-ERR no\r\n", b"$-1\r\n", b"$0\r\n\r\n", b"$4\r\na\r\nb\r\n", b"*0\r\n",
     b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n"],
)  # fmt: skip
def test_a_reply_ends_where_its_last_byte_is_and_not_before(reply):
    assert reply_end(reply + b"+next\r\n") == len(reply)
    assert [reply_end(reply[:part]) for part in range(len(reply))] == [-1] * len(reply)


def test_a_command_is_encoded_as_the_server_takes_it():
    assert encode(b"HGETALL", b"a") == b"*2\r\n$7\r\nHGETALL\r\n$1\r\na\r\n"
