"""One run: its seed, its folder, and how large and fast everything in it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from demo.world import CHECKOUT, Home, World, child_environment

ROOT = CHECKOUT / ".chaos"

CLAIM_LEASE_SECONDS = 1.5
RUN_LEASE_SECONDS = 3.0
BACKFILL_RPS = 700

RATES = {"writer": 11.0, "worker": 16.0, "reader": 30.0, "lister": 8.0, "deleter": 6.0, "old": 8.0, "inspector": 8.0}
"""Operations a second of each process; modest, because two cores run all of them, the servers and the proxy."""

ACTORS = ("writer-1", "writer-2", "worker-1", "worker-2", "reader-1", "lister-1", "deleter-1", "inspector-1")
OLD = "old-1"
"""The process without the library; it runs in `legacy` and `dual_write` only."""

WORKSPACES = 9
"""So many of the demo's workspaces are used, smallest last."""


@dataclass(frozen=True)
class Run:
    """One run of chaos."""

    seed: int
    seconds: float
    server: str
    folder: Path

    @property
    def ledgers(self) -> Path:
        return self.folder / "ledgers"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def world(self) -> World:
        """What the store holds before, as the demo makes it up."""
        return World(home=Home(self.folder), scale=0.03, seed=self.seed)

    def environment(self, port: int) -> dict[str, str]:
        """The environment of every process of the run."""
        self.world.home.tmp.mkdir(exist_ok=True)
        own = {
            "RELAY_JOBS_CLAIM_LEASE_SECONDS": str(CLAIM_LEASE_SECONDS),
            "RELAY_JOBS_LEASE_SECONDS": str(RUN_LEASE_SECONDS),
        }
        return child_environment(self.world.home, f"redis://127.0.0.1:{port}/0") | own
