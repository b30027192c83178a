"""From a task to the migration: Airflow's connection through the Redis provider's hook, and who the task is."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import redis
from airflow.providers.redis.hooks.redis import RedisHook
from airflow.sdk.exceptions import AirflowNotFoundException
from redis.backoff import NoBackoff
from redis.retry import Retry

from relay_jobs.airflow import CONNECTION
from relay_jobs.errors import Fenced, UsageError
from relay_jobs.jobs import parse_workspace
from relay_jobs.migration import Migration
from relay_jobs.settings import Settings

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)


def connect(patience_seconds: float | None = None) -> "redis.Redis":
    """A client for the connection ``relay_redis``; nothing is sent yet.

    Args:
        patience_seconds: wait so long for a reply, and ask once; ``None``: as the hook does.

    Raises:
        UsageError: the connection is missing, or says something that the hook would silently ignore.
    """
    hook = RedisHook(redis_conn_id=CONNECTION)
    try:
        said = hook.get_connection(CONNECTION)
    except AirflowNotFoundException:
        msg = (
            f"there is no connection {CONNECTION!r}: add it under Admin, Connections (type Redis, with host, port and "
            f'password; the database as extra {{"db": 0}}), or as AIRFLOW_CONN_{CONNECTION.upper()}'
        )
        raise UsageError(msg) from None
    wrong = complaint(said)
    if wrong:
        msg = f"connection {CONNECTION!r}: {wrong}"
        raise UsageError(msg)
    client: redis.Redis = hook.get_conn()  # type: ignore[no-untyped-call]
    if patience_seconds is not None:
        waits = {"socket_timeout": patience_seconds, "socket_connect_timeout": patience_seconds}
        client.connection_pool.connection_kwargs.update(waits, retry=Retry(NoBackoff(), 0))
        client.set_retry(Retry(NoBackoff(), 0))
    return client


def complaint(said: Any) -> str:
    """What is wrong with a connection, '' if nothing is."""
    extra = said.extra_dejson
    database = extra.get("db")
    if extra.get("cluster"):
        return (
            "cluster is true, but the two keys of a job hash to different slots of a cluster, so that no step over "
            "both can be atomic; a standalone server is needed"
        )
    if said.conn_type != "redis":
        tls = '; for TLS add the extra {"ssl": true}' if said.conn_type == "rediss" else ""
        return f"its type is {said.conn_type!r}; it has to be 'redis'{tls}"
    if not said.host:
        return "it names no host"
    if database is not None and not str(database).isdecimal():
        return f"the extra db is {database!r}; it has to be a number"
    if said.schema and said.schema != str(database):
        return (
            f"it names database {said.schema!r} in its path (schema), which Airflow's Redis hook ignores: it would use "
            f'database {database or 0}. Say it as extra {{"db": {said.schema}}}, or in a URI as ?db={said.schema}'
        )
    return ""


def migration(context: "Context", who: str = "") -> Migration:
    """The migration on the connection's store; in its history, ``who``, else the person who triggered the run."""
    client = connect()
    try:
        relay = Migration(client, Settings.from_env(), who=f"{who or triggered_by(context)} ({run_id(context)})")
    except (redis.ConnectionError, redis.TimeoutError) as error:
        said = client.connection_pool.connection_kwargs
        what = "refuses the login of" if isinstance(error, redis.AuthenticationError) else "does not answer"
        log.error(  # noqa: TRY400 -- the traceback comes with the error itself
            "the store at %s:%s %s connection %s: %s", said.get("host"), said.get("port"), what, CONNECTION, error
        )
        raise
    log.info("store: %s", relay.target)
    return relay


def store_name(relay: Migration) -> str:
    """The store as the connection names it: host, port and database; a server that is restarted keeps its name."""
    said = relay.client.connection_pool.connection_kwargs
    return f"{said.get('host')}:{said.get('port')} db {said.get('db') or 0}"


def refuse_other_store(relay: Migration, begun_on: str) -> None:
    """A connection that was changed while a run goes on must not divert the rest of it.

    Raises:
        UsageError: names both stores.
    """
    now = store_name(relay)
    if now != begun_on:
        msg = (
            f"connection {CONNECTION!r} names {now}, but this run began on {begun_on}: change it back and clear this "
            "task, or trigger a new run"
        )
        raise UsageError(msg)


def run_id(context: "Context") -> str:
    """Under which name the run holds the lease; the same for all its tasks and tries."""
    return f"airflow:{context['dag'].dag_id}:{context['run_id']}"


def owner(context: "Context") -> str:
    """The unit of work: the same for every try of a task, so that the next try takes over at once."""
    ti = context["ti"]
    return f"{run_id(context)}:{ti.task_id}:{ti.map_index}"


def triggered_by(context: "Context") -> str:
    """Who triggered the run, as far as Airflow knows."""
    return context["dag_run"].triggering_user_name or "unknown"


def result_of(context: "Context", task: str) -> Any:
    """What a task of the run has returned.

    Raises:
        UsageError: nothing.
    """
    found = context["ti"].xcom_pull(task_ids=task)
    if found is None:
        msg = f"task {task} has left no result (it was set to success by hand?), and this one needs it: clear {task}"
        raise UsageError(msg)
    return found


def of_run(context: "Context") -> Migration:
    """The migration, on the store that the run began on."""
    relay = migration(context)
    refuse_other_store(relay, result_of(context, "preflight")["store"])
    return relay


@contextmanager
def holding_lease(relay: Migration, context: "Context") -> Iterator[None]:
    """Give the run's lease back at the end; a store that cannot be reached lets it expire by itself.

    A task that was fenced leaves it alone: by then it is its next try that works under the run's name.
    """
    ours = True
    try:
        yield
    except Fenced:
        ours = False
        raise
    finally:
        if ours:
            with suppress(redis.RedisError):
                relay.release(run_id(context))


def refuse_unknown(context: "Context") -> None:
    """Airflow lets unknown keys of a run config pass, and a typo would run on the default.

    Raises:
        UsageError: names them, and those that are known.
    """
    known = sorted(context["dag"].params)
    unknown = sorted(set(context["dag_run"].conf or {}) - set(known))
    if unknown:
        msg = f"unknown in the run config: {', '.join(map(repr, unknown))}; known are {', '.join(known)}"
        raise UsageError(msg)


def run_params(context: "Context") -> dict[str, Any]:
    """The run's params, parsed: workspaces as ids, numbers that the form sends as text as numbers."""
    params = dict(context["params"])
    for name in {"workspaces", "canary_workspaces"} & set(params):
        # Once more: JSON Schema's pattern lets a newline at the end pass.
        params[name] = tuple(parse_workspace(workspace) for workspace in params[name] or ())
    for name in {"batch", "partitions"} & set(params):
        params[name] = params[name] if params[name] == "auto" else _whole(name, params[name])
    return params


def _whole(name: str, value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        msg = f"invalid {name} {value!r:.40}: allowed is 'auto' or a whole number"
        raise UsageError(msg) from None
