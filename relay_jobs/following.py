"""Reports of running work, into the log and the Storage tab of an Airflow task."""

import logging
import time
from collections.abc import Callable, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from airflow.sdk.exceptions import AirflowFailException, AirflowRuntimeError

from relay_jobs.errors import RelayJobsError
from relay_jobs.narrate import Line, Narrator, sample_text
from relay_jobs.progress import BatchReport, Sample

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

_MIRROR_SECONDS = 1.0

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


def told(operation: Callable[Given, Answer]) -> Callable[Given, Answer]:
    """Log a refusal in its own lines before it fails the task: a traceback is cut off at the edge of the screen."""

    @wraps(operation)
    def tell_refusal(*args: Given.args, **kwargs: Given.kwargs) -> Answer:
        try:
            return operation(*args, **kwargs)
        except (RelayJobsError, AirflowFailException) as error:
            for line in str(error).splitlines():
                log.error("%s", line)  # noqa: TRY400 -- the traceback follows, from Airflow
            raise

    return tell_refusal


class Mirror:
    """Shows progress in the task's Storage tab; Redis stays the truth."""

    def __init__(self, context: "Context") -> None:
        self._store: Any = context.get("task_state_store")
        self._shown_at = -_MIRROR_SECONDS

    def show(self, progress: dict[str, Any], *, last: bool = False) -> None:
        """Store it, at most once a second, and the last one always."""
        now = time.monotonic()
        if self._store is None or (now - self._shown_at < _MIRROR_SECONDS and not last):
            return
        self._shown_at = now
        self._set("progress", progress)

    def end(self) -> None:
        """Keep that the task's work is done. Airflow 3.3 keeps it when the task is cleared."""
        self._set("ended", True)  # noqa: FBT003 -- the value

    def ended(self) -> bool:
        """Whether a former try was at its end; not known where Airflow cannot tell."""
        try:
            return self._store is not None and bool(self._store.get("ended"))
        except AirflowRuntimeError:
            return False

    def _set(self, key: str, value: Any) -> None:
        if self._store is None:
            return
        try:
            self._store.set(key, value)
        except AirflowRuntimeError as error:
            log.warning("progress is no longer mirrored to Airflow, the work goes on: %s", error)
            self._store = None


def follow(context: "Context", narrator: Narrator, reports: Iterable[BatchReport]) -> BatchReport | None:
    """Drive a walk, tell it in the log, mirror it; its last report."""
    mirror, last = Mirror(context), None
    for last in reports:
        tell(narrator.lines(last))
        mirror.show(narrator.snapshot())
    mirror.show(narrator.snapshot(), last=True)
    return last


def tell(lines: Iterable[Line]) -> None:
    """Log lines of a report."""
    for line in lines:
        log.log(logging.WARNING if line.warning else logging.INFO, "%s", line.text)


def section(title: str, rows: Iterable[str]) -> None:
    """Log a table under its title."""
    log.info("%s", title)
    for row in rows:
        log.info("  %s", row)


def point_out(samples: Iterable[Sample]) -> None:
    """Log jobs that need eyes, by id and reason."""
    tell(Line(sample_text(sample), warning=True) for sample in samples)
