"""The recorded stage rules, a flip reaches a process at once, and flags beside it are honoured or refused."""

import logging
from collections.abc import Callable
from itertools import product

import pytest
import redis

from relay_jobs import JobStore, Settings, Stage
from relay_jobs.errors import FlagConflict, SettingsError
from tests.proxy import Proxy
from tests.servers import Server
from tests.store.records import (
    READS_LEGACY,
    STAGES,
    WRITES_LEGACY,
    WRITES_SCOPED,
    copy_at,
    dump,
    enqueue,
    legacy,
    new_store,
    put_both,
    put_legacy,
    put_scoped,
    scoped,
    set_stage,
)

NAMES = ("AI_JOBS_NEW_SCHEMA", "READ_PREFERS_NEW", "READ_FALLBACK_OLD", "AI_JOBS_LEGACY_WRITES")
COMBINATIONS = [dict(zip(NAMES, values, strict=True)) for values in product(("on", "off"), repeat=4)]

# From the contract's table, by hand: in which recorded stages a flag that is off lets a process start.
ACCEPTED_OFF = {
    "AI_JOBS_NEW_SCHEMA": {Stage.LEGACY},
    "READ_PREFERS_NEW": set(WRITES_LEGACY),
    "READ_FALLBACK_OLD": {Stage.NEW_ONLY, Stage.SEALED},
    "AI_JOBS_LEGACY_WRITES": {Stage.SEALED},
}
MEANT = {
    (): Stage.NEW_FIRST,
    ("AI_JOBS_NEW_SCHEMA",): Stage.LEGACY,
    ("READ_PREFERS_NEW",): Stage.DUAL_WRITE,
    ("READ_FALLBACK_OLD",): Stage.NEW_ONLY,
    ("READ_FALLBACK_OLD", "AI_JOBS_LEGACY_WRITES"): Stage.SEALED,
}


CALLS: dict[str, Callable[[JobStore], object]] = {
    "get_job": lambda store: store.get_job("kept", "acme"),
    "list_jobs": lambda store: store.list_jobs("acme"),
    "enqueue": enqueue,
    "update_status": lambda store: store.update_status("kept", "running", "acme"),
    "delete_job": lambda store: store.delete_job("kept", "acme"),
    "claim": lambda store: store.claim("w"),
}


def off(environ: dict[str, str]) -> tuple[str, ...]:
    return tuple(name for name in NAMES if environ.get(name) == "off")


def written(client: redis.Redis, store: JobStore) -> set[str]:
    enqueue(store, job_id="new")
    return {side for side, key in (("legacy", legacy("new")), ("scoped", scoped("new"))) if client.exists(key)}


def seen(client: redis.Redis, store: JobStore) -> set[str]:
    put_legacy(client, "l")
    put_scoped(client, "s")
    return {side for side, job_id in (("legacy", "l"), ("scoped", "s")) if store.get_job(job_id, "acme")}


def test_a_stage_writes_and_reads_by_the_table(client: redis.Redis, staged: JobStore, stage: Stage) -> None:
    """What each stage writes and reads is what the contract's table says."""
    assert written(client, staged) == {
        *({"legacy"} if stage in WRITES_LEGACY else ()),
        *({"scoped"} if stage in WRITES_SCOPED else ()),
    }
    assert seen(client, staged) == (
        {"legacy", "scoped"} if stage is Stage.NEW_FIRST else {"legacy"} if stage in READS_LEGACY else {"scoped"}
    )


def test_the_workspace_copy_is_preferred_from_new_first_on(client: redis.Redis, staged: JobStore, stage: Stage) -> None:
    """Where both copies are whole and differ, the stage says which one is read."""
    put_legacy(client, "j", params='"legacy"')
    put_scoped(client, "j", params='"scoped"')
    job = staged.get_job("j", "acme")
    assert job is not None
    assert job.params == ("legacy" if stage in READS_LEGACY else "scoped")


def test_a_partial_workspace_copy_is_never_read(client: redis.Redis, staged: JobStore, stage: Stage) -> None:
    """A hash with two fields under the workspace key is absent to every reader."""
    put_legacy(client, "j")
    client.hset(scoped("j"), mapping={"status": "running", "started_at": "x"})
    job = staged.get_job("j", "acme")
    if stage in {Stage.NEW_ONLY, Stage.SEALED}:
        assert job is None
    else:
        assert job is not None
        assert (job.status, job.params) == ("pending", {"to": "x"})


def test_flags_beside_a_recorded_stage(client: redis.Redis, stage: Stage) -> None:
    """A flag that agrees or widens never stops a start; one that contradicts is named with its stage and way out."""
    set_stage(client, stage)
    for environ in COMBINATIONS:
        conflicting = [name for name in off(environ) if stage not in ACCEPTED_OFF[name]]
        if not conflicting:
            JobStore(client, Settings.from_env(environ))
            continue
        with pytest.raises((FlagConflict, SettingsError)) as refused:
            JobStore(client, Settings.from_env(environ))
        assert any(name in str(refused.value) for name in conflicting)
        if isinstance(refused.value, FlagConflict):
            assert f"recorded stage {stage}" in str(refused.value)
            for name in conflicting:
                assert f"{name}=off" in str(refused.value)
                assert name in str(refused.value).partition("unset ")[2]


@pytest.mark.parametrize("environ", COMBINATIONS, ids=lambda environ: "+".join(off(environ)) or "none")
def test_flags_while_nothing_is_recorded(
    real_client: redis.Redis, caplog: pytest.LogCaptureFixture, environ: dict[str, str]
) -> None:
    """Each process goes by its own flags, warns, and records nothing; flags that fit no stage are refused."""
    legacy_only = "AI_JOBS_NEW_SCHEMA" in off(environ) and "AI_JOBS_LEGACY_WRITES" not in off(environ)
    legacy_reads = off(environ) == ("READ_PREFERS_NEW", "READ_FALLBACK_OLD")
    meant = Stage.LEGACY if legacy_only else Stage.DUAL_WRITE if legacy_reads else MEANT.get(off(environ))
    if meant is None:
        with pytest.raises(SettingsError, match="AI_JOBS_LEGACY_WRITES=off"):
            JobStore(real_client, Settings.from_env(environ))
        return
    with caplog.at_level(logging.WARNING, "relay_jobs"):
        store = JobStore(real_client, Settings.from_env(environ))
    assert f"goes by its own flags ({meant})" in caplog.text
    assert real_client.exists("ai:migration:stages") == 0
    assert written(real_client, store) == {
        *({"legacy"} if meant in WRITES_LEGACY else ()),
        *({"scoped"} if meant in WRITES_SCOPED else ()),
    }


def test_a_recorded_stage_beats_the_flags(client: redis.Redis) -> None:
    """A process that was started under its flags goes by the record from the moment it exists."""
    store = JobStore(client, Settings.from_env({"AI_JOBS_NEW_SCHEMA": "off"}))
    assert written(client, store) == {"legacy"}
    set_stage(client, Stage.DUAL_WRITE)
    client.delete(legacy("new"))
    assert written(client, store) == {"legacy", "scoped"}


def test_no_warning_once_a_stage_is_recorded(client: redis.Redis, caplog: pytest.LogCaptureFixture) -> None:
    """A recorded default stage is nothing to warn about; the stage of one workspace alone is."""
    set_stage(client, Stage.LEGACY)
    new_store(client)
    assert caplog.text == ""
    client.delete("ai:migration:stages")
    set_stage(client, Stage.LEGACY, "acme")
    new_store(client)
    assert "no stage is recorded" in caplog.text


def test_a_workspace_of_its_own_can_refuse_a_start(client: redis.Redis) -> None:
    """A flag is held against every recorded stage, and the message names the workspace."""
    set_stage(client, Stage.LEGACY)
    set_stage(client, Stage.DUAL_WRITE, "acme")
    with pytest.raises(FlagConflict, match=r"AI_JOBS_NEW_SCHEMA=off contradicts .* dual_write of workspace acme"):
        JobStore(client, Settings.from_env({"AI_JOBS_NEW_SCHEMA": "off"}))


def test_a_flip_reaches_a_running_process_at_once(client: redis.Redis) -> None:
    """Every call goes by the stage that is recorded at that moment, up and down the ladder."""
    set_stage(client, Stage.LEGACY)
    store = new_store(client)
    for number, stage in enumerate([*STAGES, *reversed(STAGES)]):
        set_stage(client, stage)
        enqueue(store, job_id=f"j{number}")
        assert client.exists(legacy(f"j{number}")) == (stage in WRITES_LEGACY)
        assert client.exists(scoped(f"j{number}")) == (stage in WRITES_SCOPED)


def test_read_prefers_new_off_reads_legacy_wherever_it_is_written(client: redis.Redis) -> None:
    """The changelog's rollback: a restarted process reads legacy although the recorded stage is higher."""
    put_legacy(client, "j", params='"legacy"')
    put_scoped(client, "j", params='"scoped"')
    put_scoped(client, "s")
    for stage in WRITES_LEGACY:
        set_stage(client, stage)
        store = JobStore(client, Settings.from_env({"READ_PREFERS_NEW": "off"}))
        job = store.get_job("j", "acme")
        assert job is not None
        assert job.params == "legacy"
        assert store.get_job("s", "acme") is None
        assert {job.job_id for job in store.list_jobs("acme").items} == {"j"}


def test_such_a_process_writes_what_the_stage_writes(client: redis.Redis) -> None:
    """READ_PREFERS_NEW=off changes what its process reads, and nothing of what it writes."""
    set_stage(client, Stage.NEW_ONLY)
    store = JobStore(client, Settings.from_env({"READ_PREFERS_NEW": "off"}))
    enqueue(store, job_id="j")
    store.update_status("j", "running", "acme")
    assert copy_at(client, legacy("j")) == copy_at(client, scoped("j"))
    assert copy_at(client, legacy("j"))[b"status"] == b"running"


def test_such_a_process_refuses_every_call_in_sealed(client: redis.Redis) -> None:
    """Once legacy is no longer written, a process that reads it refuses, writing nothing."""
    set_stage(client, Stage.NEW_ONLY)
    store = JobStore(client, Settings.from_env({"READ_PREFERS_NEW": "off"}))
    put_both(client, "j")
    client.rpush("ai:queue:pending", "j")
    set_stage(client, Stage.SEALED)
    before = dump(client)
    for call in (
        lambda: enqueue(store),
        lambda: store.get_job("j", "acme"),
        lambda: store.list_jobs("acme"),
        lambda: store.update_status("j", "running", "acme"),
        lambda: store.delete_job("j", "acme"),
        lambda: store.claim("w"),
    ):
        with pytest.raises(FlagConflict, match="READ_PREFERS_NEW=off contradicts the recorded stage sealed"):
            call()
    assert dump(client) == before


def test_a_listing_goes_on_over_a_flip(client: redis.Redis) -> None:
    """A walk that began in one stage is finished in the next ones."""
    set_stage(client, Stage.DUAL_WRITE)
    store = new_store(client)
    for number in range(12):
        enqueue(store, job_id=f"j{number:02}")
    found, cursor, stages = [], None, iter([*STAGES[1:4], *STAGES[1:4], *[Stage.NEW_FIRST] * 30])
    while True:
        set_stage(client, next(stages))
        page = store.list_jobs("acme", limit=2, cursor=cursor)
        found += [job.job_id for job in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(found) == [f"j{number:02}" for number in range(12)]


def test_a_process_that_sleeps_through_a_flip_acts_on_the_new_stage(
    real_server: Server, real_client: redis.Redis
) -> None:
    """A command that was on its way while the stage moved goes by the stage that it finds."""
    set_stage(real_client, Stage.LEGACY)
    put_legacy(real_client, "j")
    with Proxy(real_server.port) as proxy:
        store = new_store(real_server.client(port=proxy.port))
        proxy.hold(then=lambda: set_stage(real_client, Stage.DUAL_WRITE))
        store.update_status("j", "running", "acme")
    assert copy_at(real_client, scoped("j")) == copy_at(real_client, legacy("j"))


@pytest.mark.parametrize("name", CALLS)
def test_a_running_process_does_nothing_in_a_stage_it_does_not_know(client: redis.Redis, name: str) -> None:
    """As one that a later version has recorded: no job is taken for none, none is lost to the queue."""
    store = new_store(client)
    set_stage(client, Stage.DUAL_WRITE)
    enqueue(store, job_id="kept")
    client.hset("ai:migration:stages", "*", "archived")
    before = dump(client)
    with pytest.raises(redis.ResponseError, match="unknown stage archived"):
        CALLS[name](store)
    assert dump(client) == before
