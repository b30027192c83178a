from collections.abc import Callable

import pytest
import redis

from relay_jobs import Stage
from relay_jobs.errors import UnsupportedServer
from tests.servers import Server
from tests.store.records import new_store, set_stage

pytestmark = pytest.mark.redis

Login = Callable[..., redis.Redis]


@pytest.fixture
def login(real_server: Server) -> Login:
    """Logs in as a user with these access rules."""
    admin = real_server.client()
    set_stage(admin, Stage.DUAL_WRITE)

    def enter(*rules: str, keys: str = "*") -> redis.Redis:
        admin.execute_command("ACL", "SETUSER", "app", "reset", "on", ">secret", f"~{keys}", "+@all", *rules)
        return real_server.client(username="app", password="secret")

    return enter


@pytest.mark.parametrize("command", ["rpush", "hset", "copy", "zadd", "zrem", "lpop", "set", "del", "pexpireat"])
def test_a_user_who_may_write_half_is_refused_at_the_start(login: Login, command: str) -> None:
    """A script is not rolled back: without one of its writes it would leave half a job."""
    with pytest.raises(UnsupportedServer, match=command.upper()):
        new_store(login(f"-{command}"))


def test_a_user_of_the_old_keys_only_is_refused_at_the_start(login: Login) -> None:
    """Access rules from before the migration do not cover workspace keys."""
    with pytest.raises(UnsupportedServer, match="ai:job:probe"):
        new_store(login("resetkeys", "~ai:jobs:*", "~ai:queue:*", "~ai:index:*", "~ai:migration:*"))


def test_a_user_who_may_write_nothing_is_a_reader(login: Login, real_server: Server) -> None:
    """Reading is atomic by itself."""
    job_id = new_store(real_server.client()).enqueue("acme", "p", "a", {}, "me").job_id
    found = new_store(login("-@write")).get_job(job_id, "acme")
    assert found is not None
