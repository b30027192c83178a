"""What DAG files share when they are parsed: retries by cause, the params of the trigger form, the approval.

It imports Airflow and the ground floor only; what a task does is in :mod:`relay_jobs.operations`, imported as it runs.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.exceptions import HITLRejectException, HITLTimeoutError
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param
from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction, RetryRule
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from relay_jobs.errors import FlagConflict, Interrupted, Refused, UnsupportedServer, UsageError
from relay_jobs.jobs import WORKSPACE_PATTERN
from relay_jobs.report import approval_form
from relay_jobs.settings import Settings

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

CONNECTION = "relay_redis"
POOL = "relay_backfill"

_SOON, _LATER = timedelta(seconds=5), timedelta(seconds=15)


class _LateRule(RetryRule):
    """A rule whose errors are looked up when a task has failed: parsing a DAG imports no redis."""

    def __post_init__(self) -> None:
        """Without the look-up that the base class makes here."""


RETRY_BY_CAUSE = ExceptionRetryPolicy(
    [
        # The order counts: redis-py's login and loading errors are connection errors too.
        _LateRule(
            [f"redis.exceptions.{name}" for name in ("AuthenticationError", "AuthorizationError", "NoPermissionError")],
            RetryAction.FAIL,
            reason=f"the store refuses this login; see the connection {CONNECTION}",
        ),
        _LateRule(
            [f"redis.exceptions.{name}" for name in ("BusyLoadingError", "ReadOnlyError", "OutOfMemoryError")],
            RetryAction.RETRY,
            _LATER,
            reason="the store cannot take writes at the moment",
        ),
        _LateRule(
            [f"redis.exceptions.{name}" for name in ("ConnectionError", "TimeoutError")],
            RetryAction.RETRY,
            _SOON,
            reason="the store did not answer",
        ),
        RetryRule(Interrupted, RetryAction.RETRY, _SOON, reason="the work goes on from its checkpoint"),
        RetryRule(
            [Refused, UsageError, UnsupportedServer, FlagConflict],
            RetryAction.FAIL,
            reason="a second try would be refused as well",
        ),
    ]
)

DEFAULT_ARGS: Mapping[str, Any] = {
    "owner": "relay-jobs",
    "retries": 5,
    "retry_delay": _SOON,
    "retry_policy": RETRY_BY_CAUSE,
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


class Promotion(ApprovalOperator):
    """Asks a person whether the full backfill may begin, and shows what there is to decide on.

    It fails when rejected or when nobody answers in time. With ``approval=auto`` it asks nobody, says who triggered
    the run, and still insists on a clean canary.

    Args:
        shows: ids of the tasks whose results the form shows.
    """

    def __init__(self, *, shows: Sequence[str], **kwargs: Any) -> None:
        self.shows = tuple(shows)
        patience = timedelta(hours=Settings.from_env().approval_timeout_hours)
        super().__init__(fail_on_reject=True, response_timeout=patience, **kwargs)

    def execute(self, context: "Context") -> Any:
        """Ask, or pass at once with ``approval=auto``."""
        results = {task: context["ti"].xcom_pull(task_ids=task) or {} for task in self.shows}
        by = context["dag_run"].triggering_user_name or "nobody that Airflow knows"
        if not results["verify_canary"].get("passed"):
            msg = "there is no clean verification of the canary in this run; nothing can be approved on it"
            raise AirflowFailException(msg)
        if context["params"]["approval"] == "auto":
            log.info("approval=auto: the canary is clean, nobody is asked; the run was triggered by %s", by)
            return {"chosen_options": [self.APPROVE], "responded_by": "nobody (approval=auto)"}
        self.body = approval_form(results, by)
        return super().execute(context)

    def execute_complete(self, context: "Context", event: dict[str, Any]) -> Any:
        """Go on, or fail with who said no or how long nobody answered."""
        who = (event.get("responded_by_user") or {}).get("name") or "somebody"
        comment = (event.get("params_input") or {}).get("comment") or "without a comment"
        try:
            super().execute_complete(context, event)
        except HITLRejectException:
            msg = f"rejected by {who} ({comment}); the full backfill does not begin"
            raise AirflowFailException(msg) from None
        except HITLTimeoutError:
            msg = f"nobody answered within {self.response_timeout}; the full backfill does not begin"
            raise AirflowFailException(msg) from None
        log.info("approved by %s (%s)", who, comment)
        return {"chosen_options": [self.APPROVE], "responded_by": who, "comment": comment}
