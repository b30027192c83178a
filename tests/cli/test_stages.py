from collections.abc import Callable

import pytest
import redis

from tests.cli.conftest import Ran

pytestmark = pytest.mark.redis

Run = Callable[..., Ran]
Write = Callable[..., None]


def test_the_whole_ladder_as_an_operator_climbs_it(relay_jobs: Run, legacy: Write) -> None:
    """Each refusal names what ends it; each next command leads one rung up."""
    legacy(10)
    assert relay_jobs("stage", "set", "legacy").code == 0
    assert "one rung at a time" in relay_jobs("stage", "set", "new_first").err
    assert relay_jobs("stage", "set", "dual_write").code == 0
    assert "--legacy-writers-gone" in relay_jobs("stage", "set", "new_first").err
    assert "relay-jobs verify" in relay_jobs("stage", "set", "new_first", "--legacy-writers-gone").err
    assert relay_jobs("verify").code == 3, "copies are missing: the backfill has not run yet"
    assert relay_jobs("stage", "set", "new_first").code == 0
    refused = relay_jobs("stage", "set", "new_only")
    assert refused.code == 1
    assert "no complete pass" in refused.err
    assert relay_jobs("backfill", "--execute", "--full-speed").code == 0
    assert relay_jobs("verify").code == 0
    assert relay_jobs("stage", "set", "new_only").code == 0
    for more in ((), ("--override", "in a hurry")):
        assert relay_jobs("stage", "set", "sealed", *more).code == 1, "there is no way back from it yet"


def test_rollback_names_every_move_and_pauses(relay_jobs: Run, at_new_first: None) -> None:
    """Everything above dual_write goes down to it, at once."""
    relay_jobs("stage", "set", "new_only", "--workspace", "A")
    moves = relay_jobs("stage", "rollback", "--all").body["moves"]
    assert {(move["scope"], move["before"], move["after"]) for move in moves} == {
        ("*", "new_first", "dual_write"),
        ("A", "new_only", "dual_write"),
    }
    assert relay_jobs("status").body["control"]["paused"] is True
    assert relay_jobs("resume").code == 0
    assert relay_jobs("status").body["control"]["paused"] is False


def test_show_names_stage_and_source(relay_jobs: Run, real_client: redis.Redis) -> None:
    """Flags while nothing is recorded; they are never recorded by themselves."""
    body = relay_jobs("stage", "show").body
    assert (body["stage"], body["source"]) == ("new_first", "this process's flags")
    assert not real_client.exists("ai:migration:stages")
    relay_jobs("stage", "set", "legacy")
    body = relay_jobs("stage", "show").body
    assert (body["stage"], body["source"]) == ("legacy", "recorded")


def test_an_override_needs_a_reason_and_is_kept(relay_jobs: Run, legacy: Write) -> None:
    """The history has the reasons that were overridden."""
    legacy(1)
    for stage in ("legacy", "dual_write"):
        relay_jobs("stage", "set", stage)
    assert relay_jobs("stage", "set", "new_first", "--override", " ").code == 2
    assert relay_jobs("stage", "set", "new_first", "--override", "a drill").code == 0
    event = relay_jobs("status").body["history"][0]
    assert event["to"] == "new_first"
    assert event["overridden"]


@pytest.mark.parametrize("words", [("set", "somewhere"), ("rollback",), ("rollback", "--all", "--workspace", "A")])
def test_bad_usage_of_stage(relay_jobs: Run, words: tuple[str, ...]) -> None:
    """Exit 2."""
    assert relay_jobs("stage", *words).code == 2


def test_no_password_is_ever_shown(real_client: redis.Redis, relay_jobs: Run, url: str) -> None:
    """The target names host, port, db and run, never the credentials of the URL."""
    real_client.acl_setuser("operator", enabled=True, passwords=["+hunter2hunter2"], keys=["*"], commands=["+@all"])
    with_password = url.replace("redis://", "redis://operator:hunter2hunter2@")
    ran = relay_jobs("stage", "set", "legacy", "--redis-url", with_password)
    assert "hunter2" not in ran.out + ran.err
