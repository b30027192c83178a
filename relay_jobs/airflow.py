"""What DAG files share when they are parsed: retries by cause, params of the trigger form, which modes a task is for.

It imports Airflow and the ground floor only; what a task does is in :mod:`relay_jobs.operations`, imported as it runs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param
from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy
from airflow.sdk.exceptions import AirflowSkipException

from relay_jobs.jobs import WORKSPACE_PATTERN

if TYPE_CHECKING:
    from airflow.sdk import Context

CONNECTION = "relay_redis"
POOL = "relay_backfill"

_SOON, _LATER, _LONGEST = timedelta(seconds=5), timedelta(seconds=15), timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a task has failed: its errors by qualified name, for parsing a DAG imports no redis.

    Attributes:
        errors: this class and those derived from it.
        delay: before the second try, twice as long before each later one; ``None``: there is none.
        reason: told in the log, and kept with the task.
    """

    errors: tuple[str, ...]
    delay: timedelta | None
    reason: str


# The first one that fits counts: redis-py's login and loading errors are connection errors too.
CAUSES = (
    Cause(
        tuple(
            f"redis.exceptions.{name}" for name in ("AuthenticationError", "AuthorizationError", "NoPermissionError")
        ),
        None,
        f"the store refuses this login; see the connection {CONNECTION}",
    ),
    Cause(
        tuple(f"redis.exceptions.{name}" for name in ("BusyLoadingError", "ReadOnlyError", "OutOfMemoryError")),
        _LATER,
        "the store cannot take writes at the moment",
    ),
    Cause(
        tuple(f"redis.exceptions.{name}" for name in ("ConnectionError", "TimeoutError")),
        _SOON,
        "the store did not answer",
    ),
    Cause(("relay_jobs.errors.Interrupted",), _SOON, "the work goes on from its checkpoint"),
    Cause(
        tuple(f"relay_jobs.errors.{name}" for name in ("Refused", "UsageError", "UnsupportedServer", "FlagConflict")),
        None,
        "a second try would be refused as well",
    ),
)


class RetryByCause(RetryPolicy):
    """Tries again what passes by itself, soon and then less and less often; anything else as Airflow does."""

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: "Context | None" = None
    ) -> RetryDecision:
        """Whether and when to try again."""
        kinds = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(exception).__mro__}
        for cause in CAUSES:
            if kinds.isdisjoint(cause.errors):
                continue
            if cause.delay is None:
                return RetryDecision.fail(reason=cause.reason)
            # A task that was cleared begins with a higher number.
            delay = min(cause.delay * 2 ** min(try_number - 1, 8), _LONGEST)
            return RetryDecision.retry(delay, reason=cause.reason)
        return RetryDecision.default()


DEFAULT_ARGS: Mapping[str, Any] = {
    "owner": "relay-jobs",
    # With the delays below, half an hour of a store that is away, as when it loads or another one takes over.
    "retries": 10,
    "retry_delay": _SOON,
    "retry_policy": RetryByCause(),
    # The log has the same in words.
    "show_return_value_in_logs": False,
}


def workspaces_param(title: str, description: str) -> Param:
    """A list of workspace ids, one a line in the form; Airflow refuses a malformed one before any task runs."""
    # JSON Schema looks for a match anywhere, so it needs the anchors; the form sends null for a field made empty.
    return Param(
        [],
        type=["array", "null"],
        items={"type": "string", "pattern": f"^{WORKSPACE_PATTERN}$"},
        title=title,
        description_md=description,
    )


def only_in(*modes: str) -> Callable[["Context"], None]:
    """A ``pre_execute`` with which a task skips itself in every other mode."""

    def skip_in_other_modes(context: "Context") -> None:
        mode = context["params"]["mode"]
        if mode not in modes:
            msg = f"mode {mode} does not include this step"
            raise AirflowSkipException(msg)

    return skip_in_other_modes
