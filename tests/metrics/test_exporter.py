from collections.abc import Callable, Mapping

import pytest
import redis
from prometheus_client import CollectorRegistry

from relay_jobs import Settings, Stage
from relay_jobs.exporter import registry
from relay_jobs.migration import Migration
from relay_jobs.progress import Books

pytestmark = pytest.mark.redis

Value = Callable[..., float | None]


def migrate(client: redis.Redis, settings: Settings | None = None) -> Books:
    """One complete pass; its books."""
    migration = Migration(client, settings)
    migration.set_stage(Stage.DUAL_WRITE)
    opened = migration.open_pass(run="run", step="backfill", full_speed=True)
    list(migration.walk(opened, 0, "owner"))
    list(migration.close(opened, "owner"))
    migration.release("run")
    return migration.summary(opened).books


def sample(found: CollectorRegistry, name: str, **labels: str) -> float | None:
    return found.get_sample_value(name, labels)


def total(found: CollectorRegistry, name: str) -> float:
    """Sum over all labels."""
    return sum(s.value for family in found.collect() for s in family.samples if s.name == name)


def job(workspace: str) -> Mapping[str, str]:
    return {"workspace_id": workspace, "status": "pending"}


def test_counters_agree_with_the_books(real_client: redis.Redis) -> None:
    """What a process that is long gone has counted is there at scrape time, by workspace and reason."""
    for number in range(30):
        real_client.hset(f"ai:jobs:{number}", mapping=dict(job("acme" if number % 3 else "beta")))
    real_client.set("ai:jobs:odd", "text")
    books = migrate(real_client)
    found = registry(real_client)
    assert total(found, "relay_backfill_scanned_total") == books.scanned == 31
    assert sample(found, "relay_backfill_migrated_total", workspace_id="acme") == 20
    assert sample(found, "relay_backfill_migrated_total", workspace_id="beta") == 10
    assert sample(found, "relay_backfill_skipped_total", workspace_id="_invalid", reason="invalid") == 1
    assert total(found, "relay_backfill_skipped_total") + total(found, "relay_backfill_migrated_total") == books.scanned


def test_workspaces_beyond_the_limit_share_a_label(real_client: redis.Redis) -> None:
    """Label values are bounded, and a workspace that has its own keeps it: no counter goes down."""
    for number in range(40):
        real_client.hset(f"ai:jobs:{number}", mapping=dict(job(f"w{number % 10}")))
    settings = Settings(max_workspace_labels=3)
    migrate(real_client, settings)
    found = registry(real_client, settings)
    labels = {
        s.labels["workspace_id"] for f in found.collect() if f.name == "relay_backfill_scanned" for s in f.samples
    }
    assert len(labels - {"_other"}) == 3
    assert sample(found, "relay_backfill_scanned_total", workspace_id="_other") == 28
    migrate(real_client, settings)
    again = registry(real_client, settings)
    for label in labels:
        before = sample(found, "relay_backfill_scanned_total", workspace_id=label)
        after = sample(again, "relay_backfill_scanned_total", workspace_id=label)
        assert before is not None
        assert after is not None
        assert after >= before


def test_a_complete_pass_is_in_the_histogram(real_client: redis.Redis) -> None:
    """Buckets from 60 s to 14,400 s; an unfinished pass is in none."""
    real_client.hset("ai:jobs:1", mapping=dict(job("acme")))
    migration = Migration(real_client)
    migration.set_stage(Stage.DUAL_WRITE)
    migration.open_pass(run="other", step="backfill", full_speed=True)
    migration.release("other")
    assert sample(registry(real_client), "relay_backfill_duration_seconds_count") == 0
    migrate(real_client)
    found = registry(real_client)
    assert sample(found, "relay_backfill_duration_seconds_count") == 1
    assert sample(found, "relay_backfill_duration_seconds_bucket", le="60.0") == 1
    assert sample(found, "relay_backfill_duration_seconds_bucket", le="14400.0") == 1


def test_stage_queue_and_control(real_client: redis.Redis) -> None:
    """Rungs by workspace, jobs waiting, and whether work is held back."""
    migration = Migration(real_client, who="somebody")
    migration.set_stage(Stage.NEW_FIRST)
    migration.set_stage(Stage.LEGACY, "acme")
    migration.pause("a look")
    real_client.rpush("ai:queue:pending", "a", "b")
    found = registry(real_client)
    assert sample(found, "relay_migration_stage", workspace_id="_default") == 2
    assert sample(found, "relay_migration_stage", workspace_id="acme") == 0
    assert sample(found, "relay_queue_depth") == 2
    assert sample(found, "relay_backfill_paused") == 1


def test_a_pass_under_way_shows_how_far_it_is(real_client: redis.Redis) -> None:
    """Partitions walked, at work and waiting, and the time that is left; nothing of it before there is a pass."""
    assert sample(registry(real_client), "relay_backfill_progress_ratio") is None
    for number in range(200):
        real_client.hset(f"ai:jobs:{number}", mapping=dict(job("acme")))
    migration = Migration(real_client)
    migration.set_stage(Stage.DUAL_WRITE)
    opened = migration.open_pass(run="run", step="backfill", full_speed=True, partitions=4, batch=10)
    list(migration.walk(opened, 0, "first"))
    second = migration.walk(opened, 1, "second")
    next(second)
    found = registry(real_client)
    states = {s: sample(found, "relay_backfill_partitions", state=s) for s in ("walked", "running", "waiting")}
    assert states == {"walked": 1, "running": 1, "waiting": 2}
    ratio = sample(found, "relay_backfill_progress_ratio")
    assert ratio is not None
    assert 0.25 <= ratio < 0.5
    left = sample(found, "relay_backfill_eta_seconds")
    assert left is not None
    assert left >= 0
    second.close()


def test_proofs_of_everything_are_shown_with_their_findings(real_client: redis.Redis) -> None:
    """A verification of one workspace is no proof of everything."""
    migrate(real_client)
    real_client.hset("ai:jobs:1", mapping=dict(job("acme")))
    migration = Migration(real_client)
    list(migration.verify(workspaces=["acme"]))
    assert sample(registry(real_client), "relay_proof_timestamp_seconds", proof="verification") is None
    list(migration.verify(workspaces=[]))
    found = registry(real_client)
    assert sample(found, "relay_verification_jobs", finding="missing") == 1
    assert sample(found, "relay_verification_jobs", finding="equal") == 0
    walked = sample(found, "relay_proof_timestamp_seconds", proof="pass")
    verified = sample(found, "relay_proof_timestamp_seconds", proof="verification")
    assert walked is not None
    assert verified is not None
    assert walked <= verified
