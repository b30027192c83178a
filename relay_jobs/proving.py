"""A verification that records itself, for the ladder's gates to stand on."""

import time
from collections.abc import Callable, Iterator

import redis

from relay_jobs import runs
from relay_jobs.ladder import EVERYONE, Ladder
from relay_jobs.pace import Pace
from relay_jobs.progress import Verdict, VerifyStep
from relay_jobs.quarantine import Quarantine
from relay_jobs.settings import Settings
from relay_jobs.verification import Quarantined, Verification


class RecordedVerification:
    """Iterate it to its end, then read ``verdict``; the result is recorded only then.

    Args:
        client: the server, with replies as bytes.
        settings: for the flags and the lease.
        scope: workspaces, empty for all.
        who: who verifies.
        pace: how fast it may go.
        repairing_as: the run that holds the lease, to repair what is found.
        sleep: how to rest.
    """

    def __init__(
        self,
        client: "redis.Redis",
        settings: Settings,
        scope: tuple[str, ...],
        *,
        who: str,
        pace: Pace,
        repairing_as: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client, self._scope, self._who, self._run, self._sleep = client, scope, who, repairing_as, sleep
        self._lease = settings.lease_seconds
        self._ladder, self._quarantine = Ladder(client), Quarantine(client)
        self._engine = Verification(
            client,
            scope=",".join(scope),
            flag_stage=settings.flag_stage,
            repairing_as=repairing_as,
            pace=pace,
            sleep=sleep,
            quarantine=self._remember,
        )

    def __iter__(self) -> Iterator[VerifyStep]:
        """Its steps.

        Raises:
            LeaseHeld: another run is alive, or has taken the lease over (only to repair).
        """
        self._hold_lease(wait=True)
        try:
            yield from self._steps()
        finally:
            # Also where it was stopped or has failed: nobody shall wait for it.
            if self._run is not None:
                runs.release(self._client, self._run)

    def _steps(self) -> Iterator[VerifyStep]:
        before, started = self._ladder.recorded(), self._ladder.now()
        for step in self._engine.steps():
            yield step
            if step.notice:
                before, started = self._ladder.recorded(), self._ladder.now()
            self._hold_lease(wait=False)
        after, finished = self._ladder.recorded(), self._ladder.now()
        # What changed meanwhile is proven in neither state.
        kept = before.stages.items() & after.stages.items()
        stages = dict.fromkeys({*before.stages, *after.stages}, "") | {scope: stage.value for scope, stage in kept}
        for scope in self._scope or (EVERYONE,):
            record = {
                "started_at": started,
                "finished_at": finished,
                "epoch": after.epoch if before.epoch == after.epoch else "",
                "server": self._engine.server,
                "stages": stages,
                "findings": self._engine.findings,
                "who": self._who,
                "books": self.verdict.as_dict(),
            }
            self._ladder.record_verification(scope, record)

    @property
    def verdict(self) -> Verdict:
        """The result so far, without what is still to be read again; final once it was iterated to its end."""
        return self._engine.verdict

    def _hold_lease(self, *, wait: bool) -> None:
        if self._run is not None:
            run, seconds = self._run, self._lease
            runs.waited(lambda: runs.take_lease(self._client, run, seconds), seconds + 1 if wait else 0, self._sleep)

    def _remember(self, found: list[Quarantined]) -> None:
        self._quarantine.add((record.job_id, record.fault, record.workspace) for record in found)
