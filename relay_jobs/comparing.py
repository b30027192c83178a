"""A verification as a task: told in the log, mirrored, and judged."""

import logging
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from relay_jobs.following import Mirror, point_out, section, tell
from relay_jobs.hook import holding_lease, run_id
from relay_jobs.migration import Migration
from relay_jobs.narrate import Line, compared, duration, named, verdict_table
from relay_jobs.progress import Verdict
from relay_jobs.report import for_each

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

_LINE_SECONDS = 5.0


def verify(
    relay: Migration, context: "Context", scope: Sequence[str], *, partial: bool = False, repair: bool = False
) -> dict[str, Any]:
    """Compare every job in both directions; not clean fails the task.

    Args:
        relay: the migration.
        context: of the task.
        scope: workspaces, empty for all.
        partial: the pass ended at ``max_keys``: jobs that it did not reach may be missing.
        repair: mend what is found, as the stage in force decides; only then a lease is held.
    """
    log.info("comparing both copies of every job of %s%s", named(scope), ", with repair" if repair else "")
    verification = relay.verify(workspaces=scope, repair=repair, run=run_id(context))
    with holding_lease(relay, context) if repair else nullcontext():
        mirror, told = Mirror(context), time.monotonic()
        for step in verification:
            mirror.show({"direction": step.direction, "checked": step.checked, "fraction": round(step.fraction, 4)})
            if step.notice:
                log.warning("%s", step.notice)
            if time.monotonic() - told >= _LINE_SECONDS:
                told = time.monotonic()
                tell([Line(compared(step))])
    return _judge(verification.verdict, scope, partial=partial)


def _judge(verdict: Verdict, scope: Sequence[str], *, partial: bool) -> dict[str, Any]:
    found = verdict.as_dict()
    point_out(verdict.samples)
    section(f"Verification, in {duration(verdict.duration_seconds)}", verdict_table(found))
    if verdict.repaired:
        log.info("%s jobs were made equal", f"{verdict.repaired:,}")
    # Jobs that a canary with max_keys has not reached are no fault of it.
    passed = not (verdict.different or verdict.extra or verdict.errors) if partial else verdict.verified
    if not passed:
        names = ("different", "missing", "extra", "errors")
        wrong = [name for name in names if found[name]]
        counted = ", ".join(f"{name} {found[name]:,}" for name in wrong)
        mend = "run the backfill again" if wrong == ["missing"] else for_each("relay-jobs verify --repair", scope)
        msg = f"not clean: {counted}; look at the samples above, then {mend}"
        raise AirflowFailException(msg)
    if partial and verdict.missing:
        log.warning("%s jobs are missing: the canary ended at max_keys before it reached them", f"{verdict.missing:,}")
    if verdict.quarantined:
        log.warning(
            "%s records are quarantined, %s of them not acknowledged: relay-jobs quarantine list",
            f"{verdict.quarantined:,}",
            f"{verdict.unacknowledged:,}",
        )
    return {**found, "passed": True, "said": "clean as far as it went" if partial else "clean"}
