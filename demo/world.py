"""Where the demo lives and how large it is: paths, sizes, rates, logins. One place for each of them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]

LATE_WORKSPACE = "late-team"
"""The workspace whose old processes go on writing the legacy schema alone until step 4."""

TRIAL_WORKSPACES = ("WS_TEST", LATE_WORKSPACE)
"""Where an earlier migration was tried out: it left copies that differ from their jobs, and copies without a job."""

CANARY = ("hooli", "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d")

WORKSPACES: tuple[tuple[str, int], ...] = (
    ("acme-production", 12_000),
    ("7c9e6679-7425-40de-944b-e07fc1f90ae7", 6_400),
    ("globex", 4_200),
    ("initech_eu", 2_600),
    ("WS_STAGING", 1_700),
    ("550e8400-e29b-41d4-a716-446655440000", 1_200),
    ("umbrella-research", 800),
    ("hooli", 520),
    (LATE_WORKSPACE, 260),
    ("WS_TEST", 180),
    ("9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d", 90),
    ("tiny", 7),
    ("solo", 1),
)


@dataclass(frozen=True)
class Home:
    """The folder of one demo; a second demo in the same checkout is refused, so the name can be fixed."""

    root: Path = CHECKOUT / ".demo"

    @property
    def valkey(self) -> Path:
        return self.root / "valkey"

    @property
    def airflow(self) -> Path:
        return self.root / "airflow"

    @property
    def ledgers(self) -> Path:
        return self.root / "ledgers"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"


RATES = {"api": 35.0, "delete": 6.0, "worker": 40.0, "old": 12.0, "reader": 60.0, "lister": 5.0}
"""Operations a second of each kind of traffic process; modest, because two cores also run an Airflow."""


@dataclass(frozen=True)
class World:
    """Everything that can be turned from the command line."""

    home: Home = field(default_factory=Home)
    scale: float = 1.0
    pace: float = 1.0
    rps: int = 12_000
    seed: int = 61

    def pace_of(self, kind: str) -> float:
        """Return the operations a second of a kind of traffic process."""
        return RATES[kind] * self.pace

    @property
    def workspaces(self) -> tuple[tuple[str, int], ...]:
        return tuple((name, max(1, round(count * self.scale))) for name, count in WORKSPACES)


def child_environment(home: Home, redis_url: str) -> dict[str, str]:
    """Return the environment of every child: this machine's, less what would change the demo's meaning.

    Flags and Airflow settings of the person who runs it are left out, and temporary files stay in the checkout.
    """
    foreign = ("AIRFLOW", "AI_JOBS_", "READ_PREFERS_NEW", "READ_FALLBACK_OLD", "RELAY_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment |= {
        "REDIS_URL": redis_url,
        "TMPDIR": str(home.tmp),
        "PYTHONPATH": str(CHECKOUT),
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore",
    }
    return environment
