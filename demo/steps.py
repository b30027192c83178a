"""The walk: the steps of one migration in their order, each as an operator takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from demo.audit import Audit, audit
from demo.commands import COULD_NOT_RUN, NEEDS_EYES
from demo.environment import Environment
from demo.follow import RunFollower
from demo.report import Report
from demo.rest import AirflowApi
from demo.traffic import KINDS, NEW
from demo.world import CANARY, TRIAL_WORKSPACES

DAG = "relay_backfill"
BOOKKEEPERS = {"dry_run": "6 dry run (would migrate)", "canary": "6 canary", "full.close": "6 full backfill"}
VERIFIERS = {"verify_canary": "6 canary", "verification": "6 all"}
"""Tasks of the DAG that return books or a verdict, and how the report calls them."""


def clean(verdict: Mapping[str, Any], *names: str) -> bool:
    """Tell whether all the named counts of a verification are zero."""
    return not any(verdict.get(name, 0) for name in names)


@dataclass
class Walk:
    """One migration. Each method is a step; they must be called in order."""

    env: Environment
    report: Report

    def prepare(self) -> None:
        """Server, jobs; Airflow begins to start."""
        screen = self.env.screen
        with self.report.step("0", "a store full of jobs, and an Airflow beside it", self.env.traffic):
            seeded = self.env.start_store()
            self.env.boot_airflow()
            screen.say(
                f"{seeded.total:,} legacy jobs in {len(seeded.jobs)} workspaces, {seeded.queued:,} of them waiting, "
                f"{seeded.with_expiry:,} with an expiry"
            )
            screen.say(
                f"{seeded.quarantined} keys that look like jobs and are none, {seeded.leftovers} hashes left under "
                f"workspace keys by an earlier trial, {seeded.third_generation} keys of the third generation"
            )
            screen.say(f"the store is at {self.env.redis_url}; Airflow is starting in the background")

    def record_legacy(self) -> None:
        with self.report.step("1", "record where you are", self.env.traffic):
            self.env.operator.relay_jobs("stage", "set", "legacy")

    def deploy(self) -> None:
        """The traffic: processes with the library, and one of a late team without it."""
        with self.report.step("2", "deploy the library; traffic goes on", self.env.traffic):
            self.env.traffic.start(list(KINDS))
            self.env.screen.say(
                "API server, worker, two readers and a lister use the library; one old process does not"
            )

    def write_both(self) -> None:
        with self.report.step("3", "write both schemas", self.env.traffic):
            self.env.operator.relay_jobs("stage", "set", "dual_write")

    def verify(self) -> None:
        """The gate of step 5 is met here; first it is shown to hold."""
        with self.report.step("4", "no old process is left; verify", self.env.traffic):
            self.env.traffic.stop(["old"])
            self.env.screen.say("the late team's process has ended; the gate still wants a verification:")
            operator = self.env.operator
            operator.relay_jobs("stage", "set", "new_first", "--legacy-writers-gone", expect=(COULD_NOT_RUN,))
            self.env.screen.say("an earlier trial left wrong copies in two workspaces; only these are repaired:")
            named = [part for workspace in TRIAL_WORKSPACES for part in ("--workspace", workspace)]
            operator.relay_jobs("verify", "--repair", *named, expect=(0, NEEDS_EYES))
            found = operator.relay_jobs("verify", expect=(0, NEEDS_EYES)).body
            self.report.add_verification("4 after the repair", found)
            wrong = not clean(found, "different", "extra", "errors")
            self.report.require(not wrong, "different or extra copies after a repair")
            missing = found.get("missing", 0)
            self.env.screen.say(f"{missing:,} copies are missing, and that is right: they are the backfill's work")

    def read_new_first(self) -> None:
        with self.report.step("5", "read the new schema, fall back to the old", self.env.traffic):
            self.env.operator.relay_jobs("stage", "set", "new_first", "--legacy-writers-gone")

    def backfill(self) -> None:
        """The DAG, through the API that Airflow offers to everyone."""
        with self.report.step("6a", "wait for Airflow", self.env.traffic):
            api = self.env.airflow_api(DAG)
            self.env.screen.say(f"ready {self.env.airflow_seconds:.0f} s after its start: {self.env.ports.url}")
        with self.report.step("6", f"{DAG}, mode staged", self.env.traffic):
            conf = {"mode": "staged", "canary_workspaces": list(CANARY), "rps": self.env.world.rps}
            run_id = api.trigger(DAG, conf)
            self.env.screen.say(f"POST /api/v2/dags/{DAG}/dagRuns {conf}")
            follower = RunFollower(api, DAG, run_id, self.env.screen, self._approve, self.env.check)
            state = follower.follow()
            self.report.require(state == "success", f"run {run_id} of {DAG} ended as {state}: {follower.states()}")
            self._collect(api, run_id)
            api.close()

    def _collect(self, api: AirflowApi, run_id: str) -> None:
        """Take the books and verdicts that the tasks returned."""
        for task in api.tasks(DAG, run_id):
            returned = api.returned(DAG, run_id, task)
            if task.task_id in BOOKKEEPERS:
                self.report.require(returned, f"task {task.task_id} returned no books")
                self.report.add_books(BOOKKEEPERS[task.task_id], returned or {"scanned": 0})
            elif task.task_id in VERIFIERS:
                self.report.add_verification(VERIFIERS[task.task_id], returned or {})
                self.report.require((returned or {}).get("verified"), f"task {task.task_id} is not clean")

    def _approve(self, question: dict[str, Any]) -> str:
        self.env.screen.say(f"Airflow asks: {question['subject']}")
        self.env.screen.markdown(question["body"])
        self.env.screen.say("PATCH … hitlDetails: Approve")
        return "Approve"

    def read_new_only(self) -> None:
        with self.report.step("7", "stop falling back", self.env.traffic):
            operator = self.env.operator
            operator.relay_jobs("quarantine", "list")
            operator.relay_jobs("quarantine", "ack", "--reason", "demo: looked at, none of them is a job")
            operator.relay_jobs("stage", "set", "new_only")

    def again(self) -> None:
        """The same data once more: nothing is left to do, and the books say so."""
        with self.report.step("6", "the backfill again, on the same data", self.env.traffic):
            rps = str(self.env.world.rps)
            body = self.env.operator.relay_jobs("backfill", "--execute", "--rps", rps, expect=(0, NEEDS_EYES)).body
            self.report.add_books("6 again", body)
            self.report.require(body.get("migrated") == 0, f"the second backfill migrated {body.get('migrated')}")
            if body.get("migrated") == 0:
                self.env.screen.good("nothing migrated: every job has its copy already")

    def there_and_back(self) -> None:
        """At any time: one command back, at once; and forward again, for which it is stated and verified anew."""
        with self.report.step("R", "roll back, and forward again", self.env.traffic):
            operator = self.env.operator
            operator.relay_jobs("stage", "rollback", "--all")
            operator.relay_jobs("resume")
            operator.relay_jobs("stage", "set", "new_first", "--legacy-writers-gone", expect=(COULD_NOT_RUN,))
            operator.relay_jobs("verify", expect=(0, NEEDS_EYES))
            operator.relay_jobs("stage", "set", "new_first")

    def close(self) -> None:
        """Stop the traffic, and look at everything once more without the library."""
        with self.report.step("8", "stop the traffic, verify, audit", self.env.traffic):
            self.env.traffic.stop(NEW)
            self.env.stop_airflow()
            auditing = self.env.beside(self._audit)
            verdict = self.env.operator.relay_jobs("verify", expect=(0, NEEDS_EYES)).body
            self.report.add_verification("8 at rest", verdict)
            self.report.require(verdict.get("verified"), "the last verification is not clean")
            audited = auditing.result()
        self.env.screen.section("", "Report")
        self.report.print_all(self.env.traffic, audited)

    def _audit(self) -> Audit:
        with self.env.client() as client:
            return audit(client, self.env.world.home.ledgers)
