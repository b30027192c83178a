"""`relay-jobs api-key create`, `list` and `revoke`."""

from collections.abc import Callable

import pytest
import redis

from relay_jobs.api_keys import ApiKeys, Scope
from tests.cli.conftest import Ran, legacy, relay_jobs, url
from tests.store.records import dump

__all__ = ["legacy", "relay_jobs", "url"]

pytestmark = pytest.mark.redis

Run = Callable[..., Ran]
ONE = ("--workspace", "acme", "--actor", "u1", "--scope", "jobs:read")


def test_a_key_is_shown_once(relay_jobs: Run, real_client: redis.Redis) -> None:
    """It works, is listed without its secret, and nothing shows it again."""
    made = relay_jobs("api-key", "create", *ONE, "--expires-in", "90d").body
    found = ApiKeys(real_client).find(made["key"])
    assert found is not None
    assert (found.workspace_id, found.actor_id, found.scopes) == ("acme", "u1", (Scope.READ,))
    assert made["expires_at"] > made["created_at"]
    for as_json in (True, False):
        listed = relay_jobs("api-key", "list", as_json=as_json)
        assert made["key_id"] in listed.out
        assert made["key"].split("_", 2)[2] not in listed.out + listed.err
    (one,) = relay_jobs("api-key", "list").body["keys"]
    assert one == {name: value for name, value in made.items() if name != "key"}


def test_what_writes_names_its_target_first(relay_jobs: Run, url: str) -> None:
    """For a person on stdout, beside the JSON on stderr; a password would not be in it."""
    created = relay_jobs("api-key", "create", *ONE, as_json=False)
    assert created.out.startswith(f"target: {url.removeprefix('redis://')} db 0")
    assert "not shown again: rj_" in created.out
    made = relay_jobs("api-key", "create", *ONE)
    assert made.err.startswith("target: ")
    assert relay_jobs("api-key", "revoke", made.body["key_id"], as_json=False).out.startswith("target: ")


def test_every_scope_once(relay_jobs: Run) -> None:
    """A scope that is given twice counts once, in a fixed order."""
    words = ("--scope", "jobs:write", "--scope", "jobs:read", "--scope", "jobs:write")
    made = relay_jobs("api-key", "create", "--workspace", "acme", "--actor", "u1", *words).body
    assert made["scopes"] == ["jobs:read", "jobs:write"]


@pytest.mark.parametrize(
    "words",
    [
        ("--workspace", "a b", *ONE[2:]),
        ("--workspace", "acme", "--actor", "", *ONE[4:]),
        ONE[:4],
        (*ONE[:4], "--scope", "jobs:delete"),
        (*ONE, "--expires-in", "0d"),
        (*ONE, "--expires-in", "-1d"),
        (*ONE, "--expires-in", "1w"),
        (*ONE, "--expires-in", "999999d"),
        (*ONE, "--expires-in", ""),
    ],
    ids=lambda words: " ".join(words[-2:]),
)
def test_wrong_use_writes_nothing(relay_jobs: Run, real_client: redis.Redis, words: tuple[str, ...]) -> None:
    """Exit code 2."""
    before = dump(real_client)
    try:
        code = relay_jobs("api-key", "create", *words).code
    except SystemExit as error:
        code = int(str(error.code))
    assert code == 2
    assert dump(real_client) == before


def test_revoking_what_is_not_there(relay_jobs: Run) -> None:
    """Exit code 1: it could not be done."""
    made = relay_jobs("api-key", "create", *ONE).body
    assert relay_jobs("api-key", "revoke", made["key_id"]).code == 0
    again = relay_jobs("api-key", "revoke", made["key_id"])
    assert (again.code, again.body["error"]) == (1, "Refused")
    assert relay_jobs("api-key", "list").body == {"keys": []}
