"""A script between two looks at the server's clock, and a clock within it."""

import time

import pytest
import redis

from relay_jobs import keys
from relay_jobs.scripting import Script, source
from tests.servers import Server

SECRET = "canary-51c0"


class Spun(Script):
    """A script of a text given."""

    def __init__(self, text: str, *rules: str, read_only: bool = False) -> None:
        self.name, self.read_only = "spun", read_only
        self.write(source(*rules), text)


SPIN = Spun("for i = 1, 3000000 do local _ = i * i end return {'done'}")


def test_the_time_is_the_servers(client: redis.Redis) -> None:
    """More than nothing, less than what the client has waited, and more where more is done."""
    began = time.perf_counter()
    reply, used = SPIN.timed(client, ())
    elapsed = time.perf_counter() - began
    assert reply == [b"done"]
    assert 0.001 < used <= elapsed
    _, little = Spun("return {'little'}").timed(client, ())
    assert 0 <= little < used


def test_a_server_that_does_not_know_a_script_is_sent_it(client: redis.Redis) -> None:
    """After a restart or a flush, and its time is of the run that was made."""
    for _ in range(2):
        client.script_flush()
        assert SPIN.timed(client, ())[0] == [b"done"]
    assert client.script_exists(SPIN.sha) == [True]


def test_a_reply_is_bytes_whatever_the_client_decodes(real_server: Server) -> None:
    """As without the clock."""
    client = real_server.client(decode_responses=True)
    assert Spun("return {ARGV[1]}").timed(client, (), b"\xff\x00")[0] == [b"\xff\x00"]


def test_an_error_has_no_argument_in_its_message(client: redis.Redis) -> None:
    """A pipeline's own words would have all of them."""
    failing = Spun("return redis.call('HSET', KEYS[1], 'f', ARGV[1])")
    client.set("text", "x")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE") as caught:
        failing.timed(client, (b"text",), SECRET)
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value.args)


def test_a_script_that_may_only_read_is_refused_a_write(client: redis.Redis) -> None:
    """By the server itself, as without the clock."""
    writing = Spun("return redis.call('SET', KEYS[1], 'x')", read_only=True)
    with pytest.raises(redis.ResponseError, match=r"(?i)write"):
        writing.timed(client, (b"k",))
    assert client.exists("k") == 0


# Jobs of some milliseconds each; how many there were when the time of a step was over, behind each of which it asks.
WORK = Spun(
    """
    local over, done = stopwatch(tonumber(ARGV[1])), 0
    repeat
      if done > 0 then for i = 1, tonumber(ARGV[2]) do local _ = i * i end end
      done = done + 1
    until over(true) or done == 30
    return {done}
    """,
    "rules",
    "engine",
)
LONG = 1_000_000


def test_a_step_ends_behind_the_job_with_which_its_time_is_over(client: redis.Redis) -> None:
    """The first one fits, the second one does not."""
    assert WORK(client, (), 750, LONG) == [2]


def test_so_does_the_step_of_a_walk(client: redis.Redis) -> None:
    """It holds a lease, whose time to live is a clock in milliseconds."""
    client.set(keys.LEASE, "held", ex=60)
    assert 2 <= WORK(client, (), 750, LONG)[0] <= 3


def test_a_step_with_time_left_goes_on(client: redis.Redis) -> None:
    """With a lease or without."""
    assert WORK(client, (), 60_000_000, 10) == [30]
    client.set(keys.LEASE, "held", ex=60)
    assert WORK(client, (), 60_000_000, 10) == [30]
