"""The verbs that every door calls: preflight, dry run, pass and verification, on top of what is steered by hand."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

from relay_jobs import backfill, runs
from relay_jobs.errors import NothingRecorded, PassVoid, Refused
from relay_jobs.jobs import parse_job_id
from relay_jobs.keys import scope_name
from relay_jobs.ladder import EVERYONE
from relay_jobs.pace import Pace
from relay_jobs.preflight import Watch, survey
from relay_jobs.progress import BatchReport, Phase, Summary
from relay_jobs.proving import RecordedVerification
from relay_jobs.readiness import Plan, Preflight, examine
from relay_jobs.runs import Pass, Terms
from relay_jobs.scanning import partition_bits, partitionable
from relay_jobs.servers import identify
from relay_jobs.stages import Stage
from relay_jobs.steering import Steering
from relay_jobs.terms import Batch, parse_batch, parse_scope, positive


class Migration(Steering):
    """Everything that can be done to one server's jobs; see :class:`Steering` for its arguments."""

    def preflight(  # noqa: PLR0913 -- one keyword for each option of a run
        self,
        *,
        mode: str = "staged",
        workspaces: Sequence[str] = (),
        canary_workspaces: Sequence[str] = (),
        max_keys: int | None = None,
        rps: int | None = None,
        rps_per_slot: int | None = None,
        partitions: int | Literal["auto"] = "auto",
        batch: Batch = "auto",
        max_hours: float = 24.0,
        watch: Watch = lambda _: None,
    ) -> Preflight:
        """Walk the keyspace once, by read commands only, and judge a run before it writes.

        ``watch`` is told before each step why the walk hibernates, '' if it does not; what it raises ends the walk.

        Raises:
            Refused: every reason against the run.
            UsageError: an option out of bounds.
        """
        parse_batch(batch)
        plan = Plan(
            mode=mode,
            workspaces=parse_scope(workspaces),
            canary_workspaces=parse_scope(canary_workspaces),
            max_keys=positive("max_keys", max_keys),
            rps=positive("rps", rps),
            rps_per_slot=positive("rps_per_slot", rps_per_slot),
            partitions=None if partitions == "auto" else 2 ** partition_bits(partitions),
            max_hours=max_hours,
        )
        found = survey(self.client, self._pace(full_speed=False), sleep=self._sleep, watch=watch)
        return examine(plan, found, self.ladder.recorded(), self.server)

    def dry_run(
        self,
        *,
        workspaces: Sequence[str] = (),
        max_keys: int | None = None,
        rps: int | None = None,
        batch: Batch = "auto",
        full_speed: bool = False,
    ) -> Iterator[BatchReport]:
        """What a pass would do; writes nothing at all, always from the start. Other arguments as :meth:`open_pass`.

        Raises:
            Refused: a named workspace, or every one, is in stage ``legacy``: all of it would be filtered.
            UsageError: a number out of bounds, a malformed workspace.
        """
        scope = parse_scope(workspaces)
        positive("max_keys", max_keys)
        self._refuse_legacy(scope)
        return backfill.plan(
            self.client,
            server=identify(self.client).run_id,
            scope=",".join(scope),
            flag_stage=self.settings.flag_stage,
            pace=self._pace(full_speed=full_speed, batch=parse_batch(batch)),
            max_keys=max_keys,
            rps=positive("rps", rps),
            sleep=self._sleep,
        )

    def open_pass(  # noqa: PLR0913 -- one keyword for each option of a run
        self,
        *,
        run: str,
        step: str,
        workspaces: Sequence[str] = (),
        partitions: int = 1,
        max_keys: int | None = None,
        rps: int | None = None,
        rps_per_slot: int | None = None,
        batch: Batch = "auto",
        full_speed: bool = False,
        restart: bool = False,
        progress_key: str | None = None,
        wait: bool = True,
    ) -> Pass:
        """Take the lease and open the scope's pass: an unfinished one goes on, with the partitions it had.

        Args:
            run: who holds the lease; the books and the rate belong to it.
            step: which step of the run.
            workspaces: scope, empty for all.
            partitions: a power of two; a server whose cursors cannot be divided gets one.
            max_keys: keys of the scope to examine in this step at most.
            rps: examined keys a second over all partitions at most; default: as fast as politeness allows.
            rps_per_slot: of one running partition.
            batch: keys of one SCAN step; ``auto`` sizes it by time.
            full_speed: give way to nobody, for a server that nobody else uses.
            restart: begin from the start.
            progress_key: where the checkpoint is kept; default: by scope.
            wait: wait for a held lease for as long as it lives without renewal.

        Raises:
            LeaseHeld: another run is alive.
            NothingRecorded: no stage is recorded.
            Refused: the scope is in stage ``legacy``, where nothing may be copied.
            UsageError: an option out of bounds.
        """
        scope = parse_scope(workspaces)
        self._refuse_unwritten(scope, "backfill")
        self._refuse_unwritable("backfill")
        bits = partition_bits(partitions)
        name = scope_name(scope) if progress_key is None else parse_job_id(progress_key, "progress key")
        opened = Pass(
            run=run,
            step=step,
            name=name,
            workspaces=scope,
            bits=bits if partitionable(self.client, partitions) else 0,
            batch=parse_batch(batch),
            rps_per_slot=positive("rps_per_slot", rps_per_slot),
            full_speed=full_speed,
        )
        alone = self.ladder.writers_gone(scope, self.ladder.recorded())
        terms = Terms(restart, positive("max_keys", max_keys), positive("rps", rps), self.who, alone)
        joined = runs.waited(
            lambda: runs.join(self.client, opened, None, run, self.settings.lease_seconds, terms),
            self.settings.lease_seconds + 1 if wait else 0,
            self._sleep,
        )
        resumed = joined.found == "resumed"
        return replace(opened, bits=joined.bits, resumed=resumed, note=joined.reason)

    def refuse_if_held(self, run: str) -> None:
        """Refuse while another run holds the lease; nothing is taken.

        Raises:
            LeaseHeld: names the holder.
        """
        runs.refuse_if_held(self.client, run)

    def walk(self, opened: Pass, partition: int, owner: str, *, again: bool = False) -> Iterator[BatchReport]:
        """One partition to its end, or until ``max_keys`` is used up; ``again``: even if it is walked.

        Raises:
            LeaseHeld: another run, or another owner of the partition, is alive.
            Fenced: another owner has taken over meanwhile.
            NothingRecorded: no stage is recorded.
            Refused: the scope is in stage ``legacy``, or nothing may be copied on this server any more.
        """
        # Not only where the pass is opened: by now it may be another server, or the same one without its records.
        self._refuse_unwritten(opened.workspaces, "backfill")
        self._refuse_unwritable("backfill")
        walker = backfill.Walk(
            self.client,
            opened,
            flag_stage=self.settings.flag_stage,
            lease_seconds=self.settings.lease_seconds,
            pace=lambda: self._pace(full_speed=opened.full_speed, batch=opened.batch),
            max_labels=self.settings.max_workspace_labels,
            sleep=self._sleep,
        )
        return walker.partition(partition, owner, again=again)

    def close(self, opened: Pass, owner: str) -> Iterator[BatchReport]:
        """Complete the pass; partitions that were not walked on this server process are walked here first.

        A pass that has used up ``max_keys`` stays open for the next run.
        """
        while True:
            try:
                if runs.finish(self.client, opened, *self._pass_record(opened)):
                    return
                left = runs.open_partitions(self.client, opened)
                note = f"{len(left)} of {opened.partitions} partitions are not walked on this server process"
            except PassVoid as void:
                left, note = list(range(opened.partitions)), void.reason
            if runs.accounts(self.client, opened).limited:
                return
            yield BatchReport(Phase.RESTARTED, 0, opened.partitions, reason=f"{note}; they are walked now")
            for number in left:
                yield from self.walk(opened, number, owner)

    def summary(self, opened: Pass) -> Summary:
        """Books of this step and of its pass, read from Redis: exact whatever became of the process."""
        found = runs.accounts(self.client, opened)
        seconds = found.now - found.started_at
        return Summary(found.step, found.total, found.complete, found.limited, seconds)

    def failed_partitions(self, opened: Pass) -> list[int]:
        """Partitions of a pass in which a key could not be copied."""
        return runs.failed_partitions(self.client, opened)

    def release(self, run: str) -> None:
        """Give the run's lease back."""
        runs.release(self.client, run)

    def verify(
        self, *, workspaces: Sequence[str] = (), repair: bool = False, run: str = "", full_speed: bool = False
    ) -> RecordedVerification:
        """Compare every job of a scope in both directions, byte for byte; iterate it, then read its ``verdict``.

        Args:
            workspaces: scope, empty for all.
            repair: make unequal copies equal, one atomic step a job, as the stage says.
            run: who holds the lease while repairing.
            full_speed: give way to nobody.

        Raises:
            LeaseHeld: another run is alive (only to repair).
            Refused: the scope is in a stage that does not write both schemas (only to repair).
        """
        scope = parse_scope(workspaces)
        self._refuse_replica("a verification records itself and")
        recorded = self.ladder.recorded()
        if repair:
            self._refuse_unwritable("repair")
            self._refuse_unwritten(scope, "repair")
        elif not scope and recorded.all_legacy:
            what = "every workspace is in stage legacy, where there is nothing to compare"
            raise Refused(what, ["relay-jobs stage set dual_write"])
        return RecordedVerification(
            self.client,
            self.settings,
            scope,
            who=self.who,
            pace=self._pace(full_speed=full_speed),
            repairing_as=run if repair else None,
            sleep=self._sleep,
        )

    def _pace(self, *, full_speed: bool, batch: int | None = None) -> Pace:
        return Pace(None if full_speed else self.settings.latency_budget, batch)

    def _refuse_unwritable(self, what: str) -> None:
        # Asked anew: memory policy and role may have changed since this process began.
        reasons = identify(self.client).unwritable
        if reasons:
            raise Refused(f"nothing may be copied here by a {what}; nothing was written", reasons)

    def _refuse_unwritten(self, scope: Sequence[str], what: str) -> None:
        recorded = self.ladder.recorded()
        if not recorded.covers(scope):
            reasons = ["where you are has to be recorded first: 'relay-jobs stage set legacy', then 'dual_write'"]
            raise NothingRecorded(f"no stage is recorded, so nothing may be written by a {what}", reasons)
        self._refuse_legacy(scope)

    def _refuse_legacy(self, scope: Sequence[str]) -> None:
        recorded = self.ladder.recorded()
        left = [workspace for workspace in scope if recorded.of(workspace) is Stage.LEGACY]
        if left or (not scope and recorded.all_legacy):
            names = ", ".join(left) or "every workspace"
            reason = "a copy made now would go stale unseen: 'relay-jobs stage set dual_write' first"
            raise Refused(f"{names}: in stage legacy, where only the legacy schema is written", [reason])

    def _pass_record(self, opened: Pass) -> tuple[dict[str, Any], float]:
        found = runs.accounts(self.client, opened)
        started = int(found.facts.get("started_at", 0)) / 1000
        record = {
            "run": opened.run,
            "who": self.who,
            "started_at": started,
            # When the last partition was at its end; it may be closed much later, and is no fresher for that.
            "finished_at": int(found.facts.get("walked_at", found.now * 1000)) / 1000,
            "epoch": found.facts.get("epoch", ""),
            "server": found.facts.get("server", ""),
            "stage": str(self.ladder.recorded().of(EVERYONE) or ""),
        }
        return record, found.now - started
