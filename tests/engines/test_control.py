"""Pause, resume and throttle act on running work."""

import pytest

from relay_jobs.errors import Refused, UsageError
from relay_jobs.progress import Phase
from tests.engines.world import Rests, World, copies, fill


def test_a_paused_walk_rests_before_its_next_batch_and_goes_on_when_resumed(world: World, rests: Rests) -> None:
    """Nothing is copied meanwhile, and the report says who, why and since when."""
    fill(world.client, 50)
    walk = world.walk(world.open(batch=10))
    next(walk)
    world.migration.pause("tenants complain")
    done = copies(world.client)
    for _ in range(3):
        report = next(walk)
        assert report.phase is Phase.PAUSED
        assert "paused by ada since 20" in report.reason
        assert report.reason.endswith(": tenants complain")
    assert copies(world.client) == done
    assert rests == [1.0, 1.0]
    world.migration.resume()
    assert list(walk)[-1].phase is Phase.DONE
    assert len(copies(world.client)) == 50


def test_a_pause_holds_later_work_too(world: World) -> None:
    """A run that is triggered during a pause waits."""
    fill(world.client, 5)
    world.migration.pause("night")
    assert next(world.walk(world.open())).phase is Phase.PAUSED


def test_a_throttle_changes_the_rate_of_the_run_that_holds_the_lease(world: World) -> None:
    """From its next batch on; the answer names the run."""
    fill(world.client, 200)
    walk = world.walk(world.open(batch=20))
    assert next(walk).counts.scanned > 10
    assert world.migration.throttle(30) == "run-1"
    assert max(next(walk).counts.scanned for _ in range(8)) <= 3
    world.migration.throttle(10**6)
    assert max(report.counts.scanned for report in walk) > 3


def test_a_throttle_does_not_outlive_its_run(world: World) -> None:
    """The next run has its own rate."""
    fill(world.client, 30)
    world.open()
    world.migration.throttle(1)
    world.migration.release("run-1")
    assert {report.phase for report in world.walk(world.open("run-2", batch=5))} == {Phase.BATCH, Phase.DONE}


def test_nothing_can_be_throttled_where_nothing_runs(world: World) -> None:
    """It says what to do instead."""
    with pytest.raises(Refused, match="--rps"):
        world.migration.throttle(5)
    with pytest.raises(UsageError):
        world.migration.throttle(0)


def test_what_was_controlled_is_kept_and_shown(world: World) -> None:
    """Status shows the state, the history every change."""
    world.open(rps=7)
    world.migration.pause("why")
    shown = world.migration.status()
    assert {name: shown["control"][name] for name in ("paused", "who", "why", "rps")} == {
        "paused": True,
        "who": "ada",
        "why": "why",
        "rps": 7,
    }
    assert shown["lease"]["holder"] == "run-1"
    world.migration.throttle(9)
    world.migration.resume()
    assert not world.migration.status()["control"]["paused"]
    events = [(event["event"], event["who"]) for event in world.migration.ladder.history()]
    assert events == [("resume", "ada"), ("throttle", "ada"), ("pause", "ada")]
