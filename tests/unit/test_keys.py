"""Names of keys: parsed by prefix, never mistaken for one another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_jobs import keys
from relay_jobs.jobs import WORKSPACE_PATTERN, decode_id

workspaces = st.from_regex(WORKSPACE_PATTERN, fullmatch=True)
ids = st.binary(min_size=1, max_size=40).map(decode_id)


def test_the_contract_names() -> None:
    """Keys that other code, dashboards and runbooks use."""
    assert keys.legacy("j") == b"ai:jobs:j"
    assert keys.scoped("acme", "j") == b"ai:job:acme:j"
    assert keys.QUEUE == b"ai:queue:pending"
    assert keys.idempotency("acme", "r") == b"ai:idempotency:acme:r"
    assert keys.index("acme") == b"ai:index:acme"


@given(workspaces, ids, workspaces, ids)
def test_two_jobs_never_share_a_key(one: str, one_id: str, two: str, two_id: str) -> None:
    """Different workspaces or ids have different keys, whatever colons they hold."""
    same = (one, one_id) == (two, two_id)
    assert (keys.scoped(one, one_id) == keys.scoped(two, two_id)) is same
    assert (keys.idempotency(one, one_id) == keys.idempotency(two, two_id)) is same
    assert (keys.digest(one, one_id) == keys.digest(two, two_id)) is same
    assert keys.legacy(one_id) != keys.scoped(two, two_id)


@given(workspaces, ids)
def test_nothing_of_ours_looks_like_a_job(workspace: str, name: str) -> None:
    """Code that walks `ai:jobs:*` or `ai:job:*` never meets a key of the migration."""
    ours = [
        *(value for value in vars(keys).values() if isinstance(value, bytes) and value.startswith(keys.OURS)),
        *keys.LUA_NAMES.values(),
        keys.digest(workspace, name),
        keys.call(workspace),
        keys.progress(name),
        keys.run(name),
        keys.index(workspace),
    ]
    for key in set(ours) - {keys.LEGACY_PREFIX, keys.WORKSPACE_PREFIX}:
        assert not key.startswith((keys.LEGACY_PREFIX, keys.WORKSPACE_PREFIX))


def test_field_names_beside_workspaces_are_no_workspaces() -> None:
    """`*` and `*epoch` cannot be the name of a workspace."""
    assert keys.EVERYONE == b"*"
    assert keys.EPOCH == b"*epoch"


@pytest.mark.parametrize(
    ("workspaces", "name"), [((), "all"), (("acme",), "only:acme"), (("acme", "acme"), "only:acme")]
)
def test_the_name_of_a_scope(workspaces: tuple[str, ...], name: str) -> None:
    """A scope of one is readable."""
    assert keys.scope_name(workspaces) == name


@given(st.sets(workspaces, min_size=2, max_size=5), st.sets(workspaces, min_size=2, max_size=5))
def test_scopes_are_told_apart(one: set[str], two: set[str]) -> None:
    """The same set has the same name in any order, another set another one."""
    assert keys.scope_name(sorted(one)) == keys.scope_name(sorted(one, reverse=True))
    assert (keys.scope_name(one) == keys.scope_name(two)) is (one == two)
