"""Nobody sees a foreign job: every call answers for a foreign id exactly as for an unknown one."""

from collections.abc import Callable

import pytest
import redis

from relay_jobs import JobStore, Stage
from relay_jobs.errors import JobNotFound
from tests.store.records import STAGES, dump, enqueue, legacy, put_both, put_legacy, put_scoped, scoped, set_stage

At = Callable[..., JobStore]


def test_a_foreign_job_reads_as_unknown(staged: JobStore) -> None:
    """No read, update, delete or list of one workspace finds another's job."""
    enqueue(staged, "acme", job_id="j")
    assert staged.get_job("j", "other") is None
    assert staged.list_jobs("other").items == ()
    assert staged.delete_job("j", "other") is False
    with pytest.raises(JobNotFound):
        staged.update_status("j", "running", "other")
    job = staged.get_job("j", "acme")
    assert job is not None
    assert job.status == "pending"


def test_a_copy_under_the_wrong_workspace_is_no_copy(staged: JobStore, client: redis.Redis) -> None:
    """A hash under one workspace's key that names another is shown to neither."""
    client.hset("ai:job:other:j", mapping={"job_id": "j", "workspace_id": "acme", "status": "pending"})
    client.zadd("ai:index:other", {"j": 1})
    before = dump(client)
    for workspace in ("acme", "other"):
        assert staged.get_job("j", workspace) is None
        with pytest.raises(JobNotFound):
            staged.update_status("j", "running", workspace)
    assert dump(client) == before
    assert staged.list_jobs("other").items == ()


def test_a_record_that_names_another_job_is_not_read(staged: JobStore, client: redis.Redis) -> None:
    """A hash whose own id is not the one in its key is no job, in either schema."""
    put_both(client, "j")
    for key in (legacy("j"), scoped("j")):
        client.hset(key, "job_id", "other")
    before = dump(client)
    assert staged.get_job("j", "acme") is None
    assert staged.list_jobs("acme").items == ()
    with pytest.raises(JobNotFound):
        staged.update_status("j", "running", "acme")
    assert {key: before[key] for key in before} == {key: dump(client)[key] for key in before}


def test_a_record_whose_id_cannot_be_asked_for_is_not_listed(staged: JobStore, client: redis.Redis) -> None:
    """An id with a control character is none: `get_job` refuses it, and no listing shows it, of whatever copy."""
    put_both(client, "j\x01")
    client.zadd("ai:index:acme", {"j\x01": 1})
    assert staged.list_jobs("acme").items == ()
    client.delete("ai:index:acme")
    assert staged.list_jobs("acme").items == ()


def test_a_foreign_id_in_the_index_shows_nothing(staged: JobStore, client: redis.Redis) -> None:
    """An index entry gives no access to a job of another workspace, and is no reason to touch it."""
    put_both(client, "j", "acme")
    client.zadd("ai:index:other", {"j": 1})
    assert staged.list_jobs("other").items == ()
    assert client.exists("ai:jobs:j", "ai:job:acme:j") == 2


@pytest.mark.parametrize(("left", "right"), [("a", "a:b"), ("a", "a-b"), ("a-", "a"), ("A", "a"), ("a_b", "a-b")])
def test_similar_names_do_not_meet(staged: JobStore, left: str, right: str) -> None:
    """Workspaces and ids whose keys look alike stay apart."""
    if ":" in right:
        # The one key that could be read in two ways: workspace a with job b:c, and workspace a:b, which cannot exist.
        with pytest.raises(ValueError, match="invalid workspace id"):
            staged.get_job("c", right)
        return
    enqueue(staged, left, job_id="b:c")
    assert staged.get_job("b:c", right) is None
    assert staged.list_jobs(right).items == ()


def test_ids_are_not_cut_at_a_colon(staged: JobStore, client: redis.Redis) -> None:
    """`team-a:42` and `team-b:42` are two jobs."""
    enqueue(staged, job_id="team-a:42", params=1)
    enqueue(staged, job_id="team-b:42", params=2)
    for job_id, params in (("team-a:42", 1), ("team-b:42", 2)):
        job = staged.get_job(job_id, "acme")
        assert job is not None
        assert job.params == params
    assert staged.get_job("42", "acme") is None


def test_requests_of_two_workspaces_do_not_meet(staged: JobStore) -> None:
    """The same client_request_id in two workspaces is two requests."""
    first = staged.enqueue("acme", "mail", "send", 1, "u", client_request_id="r")
    second = staged.enqueue("other", "mail", "send", 2, "u", client_request_id="r")
    assert first.created
    assert second.created
    assert first.job_id != second.job_id


def test_a_claimed_job_belongs_to_its_workspace(staged: JobStore) -> None:
    """A worker serves all workspaces, and each job says whose it is."""
    enqueue(staged, "acme", job_id="j")
    enqueue(staged, "other", job_id="k")
    claimed = {job.job_id: job.workspace_id for job in (staged.claim("w"), staged.claim("w")) if job}
    assert claimed == {"j": "acme", "k": "other"}


@pytest.mark.parametrize("where", STAGES[1:], ids=str)
def test_stages_of_two_workspaces_are_apart(at: At, client: redis.Redis, where: Stage) -> None:
    """A workspace with a stage of its own goes by it, and its neighbours by the default."""
    store = at(Stage.LEGACY)
    set_stage(client, where, "acme")
    enqueue(store, "acme", job_id="j")
    enqueue(store, "other", job_id="k")
    assert client.exists("ai:job:acme:j") == 1
    assert client.exists("ai:job:other:k") == 0
    assert client.exists("ai:jobs:j") == (where is not Stage.SEALED)
    assert client.exists("ai:jobs:k") == 1


def test_the_third_generation_is_touched_by_nothing(staged: JobStore, client: redis.Redis) -> None:
    """Old JSON records under `ai:job:{id}` are no job of anyone, even if the id looks like a workspace and an id."""
    client.set("ai:job:plain", '{"id": "plain"}')
    client.set("ai:job:acme:j", '{"id": "acme:j"}')
    before = dump(client)
    assert staged.get_job("plain", "acme") is None
    assert staged.get_job("j", "acme") is None
    assert staged.delete_job("j", "acme") is False
    with pytest.raises(JobNotFound):
        staged.update_status("j", "running", "acme")
    assert dump(client) == before
    assert staged.list_jobs("acme").items == ()


def test_a_job_of_two_owners_is_one_job_each(at: At, client: redis.Redis) -> None:
    """Where the legacy copy and an extra workspace copy name different owners, each owner has at most its own."""
    put_legacy(client, "j", "acme", params="1")
    put_scoped(client, "j", "other", params="2")
    store = at(Stage.NEW_FIRST)
    acme, other = store.get_job("j", "acme"), store.get_job("j", "other")
    assert acme is not None
    assert other is not None
    assert (acme.params, other.params) == (1, 2)
    store.update_status("j", "running", "other")
    assert client.hget("ai:jobs:j", "status") == b"pending"
