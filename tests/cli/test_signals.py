import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from tests.cli.conftest import Ran
from tests.servers import Server

pytestmark = pytest.mark.redis

Run = Callable[..., Ran]
Write = Callable[..., None]


@pytest.fixture
def walking(
    real_client: redis.Redis, real_server: Server, url: str, legacy: Write, at_new_first: None
) -> Iterator["subprocess.Popen[str]"]:
    """A backfill in a process of its own, in the middle of its walk."""
    legacy(2000)
    words = ["-m", "relay_jobs", "backfill", "--execute", "--rps", "200", "--redis-url", url, "--json"]
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not real_client.exists("ai:index:WS_TEST"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_walk_with_its_books(
    walking: "subprocess.Popen[str]", relay_jobs: Run, number: signal.Signals
) -> None:
    """Exit 130 or 143, the summary printed, the checkpoint kept; the next run goes on."""
    walking.send_signal(number)
    out, err = walking.communicate(timeout=20)
    assert walking.returncode == 128 + number
    books = json.loads(out)
    assert not books["complete"]
    assert 0 < books["scanned"] < 2000
    assert "Traceback" not in err
    rest = relay_jobs("backfill", "--execute", "--full-speed").body
    assert (rest["complete"], rest["scanned"]) == (True, 2000 - books["scanned"])


def test_a_killed_walk_leaves_exact_books(
    walking: "subprocess.Popen[str]", relay_jobs: Run, real_client: redis.Redis
) -> None:
    """SIGKILL: what is copied is what is counted, and the next run goes on once the lease has expired."""
    os.kill(walking.pid, signal.SIGKILL)
    walking.communicate()
    copied = sum(1 for _ in real_client.scan_iter("ai:job:WS_TEST:*", count=1000))
    real_client.delete("ai:migration:lease", "ai:migration:progress:all:lease:0")  # as after 30 s
    body = relay_jobs("backfill", "--execute", "--full-speed").body
    assert body["pass"]["migrated"] == 2000
    assert body["migrated"] == 2000 - copied


def test_another_run_is_refused_with_the_holder(
    walking: "subprocess.Popen[str]", relay_jobs: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 1 once the lease has had the time to expire, naming who holds it."""
    monkeypatch.setenv("RELAY_JOBS_LEASE_SECONDS", "0.5")
    ran = relay_jobs("backfill", "--execute")
    assert ran.code == 1
    assert f":{walking.pid}:" in ran.body["message"]
    assert "expires in" in ran.body["message"]


def test_the_alias_of_the_changelog(url: str, legacy: Write, at_new_first: None) -> None:
    """The old line with its old options runs the same backfill."""
    legacy(30)
    words = "--execute --workspace WS_TEST --rps 1000 --batch 500 --max-keys 5000 --cursor 0 --progress-key old"
    command = [sys.executable, "-m", "scripts.backfill_redis_keys", *words.split(), "--redis-url", url, "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["migrated"] == 30
    refused = subprocess.run([*command[:3], "--execute", "--cursor", "77"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "77" in refused.stderr


def test_a_signal_ends_a_preflight_that_hibernates(
    real_client: redis.Redis, url: str, legacy: Write, at_new_first: None
) -> None:
    """It says why it does nothing, and ends when it is asked to."""
    legacy(20)
    words = ["-m", "relay_jobs", "preflight", "--redis-url", url, "--json"]
    real_client.config_set("maxmemory", round(int(real_client.info("memory")["used_memory"]) / 0.97))
    pipe = subprocess.PIPE
    try:
        with subprocess.Popen([sys.executable, *words], stdout=pipe, stderr=pipe, text=True) as process:
            try:
                assert process.stderr is not None
                assert process.stderr.readline().startswith("hibernates because of memory, ")
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=10)
            finally:
                process.kill()
    finally:
        real_client.config_set("maxmemory", 0)
    assert process.returncode == 130
    assert json.loads(out)["message"] == "interrupted: the preflight is not complete"
    assert "Traceback" not in err
