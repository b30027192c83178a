"""The approval of a full backfill: what a person is shown, who is told that it waits, and what an answer does."""

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from airflow.providers.standard.exceptions import HITLRejectException, HITLTimeoutError
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import BaseHook, BaseNotifier
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.log import mask_secret

from relay_jobs.narrate import duration
from relay_jobs.report import approval_form, approval_notice, one_line
from relay_jobs.settings import Settings

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

_NOTICE = "{{ task.notice }}"  # made as the task runs, from the results that the form shows


class Notice(BaseNotifier):
    """Sends through another notifier; what cannot be sent is a warning, for the form waits all the same.

    Args:
        through: one of Airflow's own notifiers.
        connection: whose address is a secret: often it is all that it takes to use a webhook, and errors name it.
    """

    def __init__(self, through: BaseNotifier, connection: str = "") -> None:
        super().__init__()
        self.through, self.connection = through, connection

    def notify(self, context: "Context") -> None:
        """Send it, or say what went wrong."""
        try:
            if self.connection:
                _mask_address(self.connection)
            # It merges its own fields into the context, which the next one should not find there.
            self.through(cast("Context", dict(context)))
        except Exception as error:  # noqa: BLE001 -- whatever a webhook or a mail server makes of it
            log.warning("%s could not tell anybody that this run waits: %s", type(self.through).__name__, error)


class Promotion(ApprovalOperator):
    """Asks a person whether the full backfill may begin, and shows what there is to decide on.

    It fails when rejected or when nobody answers in time. With ``approval=auto`` it asks nobody, says who triggered
    the run, and still insists on a clean canary. The answer is kept in the store's history.

    Args:
        shows: ids of the tasks whose results the form shows.
    """

    def __init__(self, *, shows: Sequence[str], **kwargs: Any) -> None:
        self.shows = tuple(shows)
        self.notice = ""
        super().__init__(fail_on_reject=True, **kwargs)

    def _apply(self, settings: Settings) -> None:
        # As the task runs: a setting that is not understood must not take the whole DAG away.
        self.response_timeout = timedelta(hours=settings.approval_timeout_hours)
        self.assigned_users = [{"id": user, "name": user} for user in settings.approvers] or None
        self.notifiers = notifiers(settings, self.subject)

    def execute(self, context: "Context") -> Any:
        """Ask, or pass at once with ``approval=auto``."""
        results = {task: context["ti"].xcom_pull(task_ids=task) or {} for task in self.shows}
        by = context["dag_run"].triggering_user_name or "nobody that Airflow knows"
        if not results["verify_canary"].get("passed"):
            msg = "there is no clean verification of the canary in this run; nothing can be approved on it"
            raise AirflowFailException(msg)
        if context["params"]["approval"] == "auto":
            log.info("approval=auto: the canary is clean, nobody is asked; the run was triggered by %s", by)
            return self._approved(context, "nobody (approval=auto)", f"triggered by {by}")
        self._apply(Settings.from_env())
        self.body = approval_form(results, by)
        self.notice = approval_notice(results, by, context["run_id"], self._patience, self._where(context))
        return super().execute(context)

    def execute_complete(self, context: "Context", event: dict[str, Any]) -> Any:
        """Go on, or fail with who said no or how long nobody answered."""
        self._apply(Settings.from_env())
        who = one_line((event.get("responded_by_user") or {}).get("name") or "somebody")
        comment = one_line((event.get("params_input") or {}).get("comment") or "without a comment")
        try:
            super().execute_complete(context, event)
        except HITLRejectException:
            self._record(context, "rejected", who, comment)
            msg = f"rejected by {who} ({comment}); the full backfill does not begin"
            raise AirflowFailException(msg) from None
        except HITLTimeoutError:
            self._record(context, "not answered", "nobody", f"within {self._patience}")
            msg = f"nobody answered within {self._patience}; the full backfill does not begin"
            raise AirflowFailException(msg) from None
        log.info("approved by %s (%s)", who, comment)
        return self._approved(context, who, comment)

    @property
    def _patience(self) -> str:
        return duration(cast("timedelta", self.response_timeout).total_seconds())

    def _where(self, context: "Context") -> str:
        try:
            return self.generate_link_to_ui(task_instance=context["ti"])
        except ValueError:
            # [api] base_url is not set here, and Airflow has no default for it.
            return "Airflow, Browse, Required Actions"

    def _approved(self, context: "Context", who: str, comment: str) -> dict[str, Any]:
        recorded = self._record(context, "approved", who, comment)
        return {"chosen_options": [self.APPROVE], "responded_by": who, "comment": comment, "recorded": recorded}

    @staticmethod
    def _record(context: "Context", answer: str, who: str, comment: str) -> bool:
        from relay_jobs import operations

        return operations.record_answer(context, answer, who, comment)


def notifiers(settings: Settings, subject: str) -> list["BaseNotifier"]:
    """Airflow's notifiers for whoever the settings name."""
    found: list[BaseNotifier] = []  # imported only where they are needed: parsing a DAG is to be cheap
    if settings.approval_webhooks:
        from airflow.providers.http.notifications.http import HttpNotifier

        webhooks = settings.approval_webhooks
        found += [Notice(HttpNotifier(http_conn_id=each, json={"text": _NOTICE}), each) for each in webhooks]
    if settings.approval_emails:
        from airflow.providers.smtp.notifications.smtp import SmtpNotifier

        text = "<pre>{{ task.notice | e }}</pre>"
        found.append(Notice(SmtpNotifier(to=list(settings.approval_emails), subject=subject, html_content=text)))
    return found


def _mask_address(connection: str) -> None:
    said = BaseHook.get_connection(connection)
    for part in (said.host, said.schema, urlsplit(said.host or "").path):
        # Whole addresses and paths; a bare host name is no secret, and would make holes in other lines.
        if part and "/" in part.strip("/"):
            mask_secret(part)
