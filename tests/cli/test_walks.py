from collections.abc import Callable

import pytest
import redis

from tests.cli.conftest import Ran

pytestmark = pytest.mark.redis

Run = Callable[..., Ran]
Write = Callable[..., None]
OUTCOMES = ("migrated", "exists", "conflict", "invalid", "filtered", "gone", "errors")


def test_a_pass_copies_everything_and_says_so(relay_jobs: Run, legacy: Write, at_new_first: None) -> None:
    """One JSON object with balanced books, exit code 0."""
    legacy(300)
    ran = relay_jobs("backfill", "--execute", "--full-speed")
    assert ran.code == 0
    assert ran.body["complete"] is True
    assert ran.body["migrated"] == ran.body["scanned"] == 300
    assert ran.body["pass"]["scanned"] == sum(ran.body["pass"][name] for name in OUTCOMES)


def test_a_second_pass_migrates_nothing(relay_jobs: Run, legacy: Write, at_new_first: None) -> None:
    """A finished pass starts afresh and finds every copy there."""
    legacy(300)
    relay_jobs("backfill", "--execute", "--full-speed")
    again = relay_jobs("backfill", "--execute", "--full-speed").body
    assert (again["migrated"], again["exists"]) == (0, 300)


def test_a_dry_run_counts_and_writes_nothing(
    relay_jobs: Run, legacy: Write, at_new_first: None, real_client: redis.Redis
) -> None:
    """would_migrate in place of migrated; every key is as it was."""
    legacy(50)
    before = {key: real_client.dump(key) for key in real_client.scan_iter()}
    ran = relay_jobs("backfill", "--dry-run", "--full-speed")
    assert (ran.code, ran.body["would_migrate"], ran.body["complete"]) == (0, 50, True)
    assert "migrated" not in ran.body
    assert {key: real_client.dump(key) for key in real_client.scan_iter()} == before


def test_max_keys_is_exact_and_each_run_goes_on(relay_jobs: Run, legacy: Write, at_new_first: None) -> None:
    """Exit 0 with complete false until the end is reached; the pass's total adds up."""
    legacy(250)
    runs = [relay_jobs("backfill", "--execute", "--full-speed", "--max-keys", "100") for _ in range(3)]
    assert [run.body["scanned"] for run in runs] == [100, 100, 50]
    assert [run.body["complete"] for run in runs] == [False, False, True]
    assert [run.code for run in runs] == [0, 0, 0]
    assert runs[-1].body["pass"]["migrated"] == 250


def test_partitions_side_by_side_miss_nothing(
    relay_jobs: Run, legacy: Write, at_new_first: None, real_client: redis.Redis
) -> None:
    """A key seen twice at a seam counts as exists."""
    legacy(500)
    body = relay_jobs("backfill", "--execute", "--full-speed", "--partitions", "8").body
    assert (body["complete"], body["migrated"]) == (True, 500)
    assert real_client.zcard("ai:index:WS_TEST") == 500


def test_an_unfinished_pass_keeps_its_partitions(relay_jobs: Run, legacy: Write, at_new_first: None) -> None:
    """Resumed with another number of partitions, it goes on with those it had."""
    legacy(300)
    relay_jobs("backfill", "--execute", "--full-speed", "--max-keys", "100", "--partitions", "4")
    ran = relay_jobs("backfill", "--execute", "--full-speed", "--partitions", "1", as_json=False)
    assert "an unfinished pass goes on: all workspaces, 4 partitions" in ran.out


def test_a_scope_of_one_workspace_leaves_the_others(relay_jobs: Run, legacy: Write, at_new_first: None) -> None:
    """Foreign keys are filtered, and do not use up max_keys."""
    legacy(80, "A", "a")
    legacy(80, "B", "b")
    body = relay_jobs("backfill", "--execute", "--full-speed", "--workspace", "A", "--max-keys", "80").body
    assert body["migrated"] == 80
    assert relay_jobs("backfill", "--dry-run", "--full-speed", "--workspace", "B").body["would_migrate"] == 80


def test_an_invalid_record_needs_eyes_until_it_is_acknowledged(
    relay_jobs: Run, legacy: Write, at_new_first: None, real_client: redis.Redis
) -> None:
    """Exit 3; acknowledged, 0; a new one, 3 again."""
    legacy(5)
    real_client.set("ai:jobs:odd", "text")
    assert relay_jobs("backfill", "--execute", "--full-speed").code == 3
    (record,) = relay_jobs("quarantine", "list").body["records"]
    assert (record["job_id"], record["reason"], record["acknowledged"]) == ("odd", "wrong_type", False)
    assert relay_jobs("quarantine", "ack", "--reason", "known").body["acknowledged"] == 1
    assert relay_jobs("backfill", "--execute", "--full-speed").code == 0
    real_client.hset("ai:jobs:odder", "status", "pending")
    assert relay_jobs("verify").code == 3


def test_verify_finds_and_repairs(relay_jobs: Run, legacy: Write, at_new_first: None, real_client: redis.Redis) -> None:
    """Exit 3 with the counts; --repair mends as the stage says; then 0."""
    legacy(20)
    relay_jobs("backfill", "--execute", "--full-speed")
    real_client.delete("ai:job:WS_TEST:job-1")
    real_client.hset("ai:jobs:job-2", "status", "running")
    real_client.delete("ai:jobs:job-3")
    found = relay_jobs("verify")
    assert found.code == 3
    names = ("equal", "missing", "different", "extra", "verified")
    assert [found.body[name] for name in names] == [17, 1, 1, 1, False]
    mended = relay_jobs("verify", "--repair")
    assert (mended.code, mended.body["repaired"], mended.body["verified"]) == (0, 3, True)
    assert real_client.hget("ai:jobs:job-2", "status") == b"pending", "in new_first the workspace copy wins"
    assert real_client.exists("ai:jobs:job-3"), "in new_first an extra is copied back"
    assert relay_jobs("verify").body["equal"] == 20


@pytest.mark.parametrize(
    "words",
    [
        ("--max-keys", "0"),
        ("--max-keys", "-1"),
        ("--rps", "0"),
        ("--batch", "0"),
        ("--batch", "many"),
        ("--partitions", "3"),
        ("--partitions", "512"),
        ("--workspace", "no spaces"),
        ("--workspace", ""),
        ("--progress-key", ""),
        ("--rps", "10", "--full-speed"),
        ("--dry-run",),
    ],
)
def test_bad_usage_writes_nothing(
    relay_jobs: Run, at_new_first: None, real_client: redis.Redis, words: tuple[str, ...]
) -> None:
    """Exit 2, and every key is as it was."""
    before = {key: real_client.dump(key) for key in real_client.scan_iter()}
    assert relay_jobs("backfill", "--execute", *words).code == 2
    assert {key: real_client.dump(key) for key in real_client.scan_iter()} == before


def test_nothing_recorded_is_refused(relay_jobs: Run, legacy: Write) -> None:
    """Exit 1, naming the command that ends it."""
    legacy(1)
    ran = relay_jobs("backfill", "--execute")
    assert ran.code == 1
    assert "relay-jobs stage set legacy" in ran.err


@pytest.mark.parametrize("mode", ["--execute", "--dry-run"])
def test_a_named_workspace_in_legacy_is_refused(relay_jobs: Run, legacy: Write, at_new_first: None, mode: str) -> None:
    """Its keys would be filtered, all of them: exit 1."""
    legacy(1, "A")
    assert relay_jobs("stage", "set", "legacy", "--workspace", "A").code == 0
    ran = relay_jobs("backfill", mode, "--workspace", "A")
    assert ran.code == 1
    assert "A" in ran.body["message"]


def test_a_server_that_is_down_is_said_at_once(relay_jobs: Run) -> None:
    """Exit 1, with the address and without a traceback."""
    ran = relay_jobs("backfill", "--execute", "--redis-url", "redis://127.0.0.1:1")
    assert ran.code in {1, 2}
