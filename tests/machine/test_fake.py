"""The fake does what real servers do, where fakeredis by itself does not."""

from collections.abc import Iterator
from hashlib import sha1

import pytest
import redis
from redis.exceptions import ResponseError

from tests.machine.fake import EngineServer


@pytest.fixture
def server() -> EngineServer:
    return EngineServer()


@pytest.fixture
def client(server: EngineServer) -> Iterator[redis.Redis]:
    with server.client() as client:
        yield client


def test_a_copy_is_a_copy(client: redis.Redis) -> None:
    """A write to one key is not a write to the key that it was copied to; the expiry is copied too."""
    client.hset("a", "f", "1")
    client.pexpireat("a", 4102444800000)
    assert client.copy("a", "b")
    client.hset("b", "f", "2")
    assert (client.hget("a", "f"), client.hget("b", "f")) == (b"1", b"2")
    assert client.pexpiretime("b") == 4102444800000
    assert not client.copy("a", "b")
    assert client.copy("a", "b", replace=True)
    assert client.hget("b", "f") == b"1"


def test_a_reading_script_may_not_write(client: redis.Redis) -> None:
    """EVAL_RO and EVALSHA_RO read, and refuse a write; EVAL writes again afterwards."""
    client.set("a", "1")
    assert client.execute_command("EVAL_RO", "return redis.call('GET', 'a')", 0) == b"1"
    with pytest.raises(ResponseError):
        client.execute_command("EVAL_RO", "return redis.call('SET', 'a', '2')", 0)
    with pytest.raises(ResponseError):
        client.execute_command("EVALSHA_RO", client.script_load("return redis.call('DEL', 'a')"), 0)
    assert client.eval("return redis.call('INCR', 'a')", 0) == 2


def test_a_restart_is_another_process_with_the_same_data(server: EngineServer, client: redis.Redis) -> None:
    """INFO names another process, scripts are forgotten, data stay."""
    client.set("a", "1")
    before, known = client.info("server")["run_id"], client.script_load("return 1")
    server.restart()
    assert client.info("server")["run_id"] != before
    assert client.script_exists(known) == [False]
    assert client.get("a") == b"1"


def test_scripts_have_digests(client: redis.Redis) -> None:
    """redis.sha1hex is SHA-1 of bytes."""
    assert client.eval("return redis.sha1hex(ARGV[1])", 0, b"\xff") == sha1(b"\xff").hexdigest().encode()  # noqa: S324
