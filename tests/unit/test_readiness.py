"""What a run is predicted to take: never less than its limits allow."""

import pytest

from relay_jobs.preflight import Survey
from relay_jobs.readiness import Plan, cost

KEYS = 1_000_000
FOUND = Survey({"acme": KEYS - 10, "tiny": 10}, {}, {}, {}, 0, 0, 500.0, ())
VERIFIED = 2 * KEYS / 10_000


@pytest.mark.parametrize(
    ("plan", "walks", "seconds"),
    [
        (Plan("dry_run", rps=1000), 1, KEYS / 1000),
        (Plan("dry_run", rps=1000, max_keys=5000), 1, 5),
        (Plan("dry_run", ("tiny",), rps=1000, max_keys=5000), 1, KEYS / 1000),
        (Plan("full", rps=1000), 2, KEYS / 1000 + VERIFIED),
        (Plan("full", rps=1000, rps_per_slot=50), 2, KEYS / 100 + VERIFIED),
        (Plan("full", rps=1000, rps_per_slot=900), 2, KEYS / 1000 + VERIFIED),
        (Plan("full", rps_per_slot=50), 2, KEYS / 100 + VERIFIED),
        (Plan("full"), 2, KEYS / 10_000 + VERIFIED),
        (Plan("canary", (), ("tiny",), 5000, rps=1000), 2, KEYS / 1000 + VERIFIED),
        (Plan("canary", (), ("tiny",), rps=1000, rps_per_slot=50), 2, KEYS / 50 + VERIFIED),
        (Plan("staged", (), ("tiny",), rps=1000), 5, 3 * KEYS / 1000 + 2 * VERIFIED),
    ],
)
def test_the_prediction_follows_the_limits(plan: Plan, walks: int, seconds: float) -> None:
    """A walk costs its foreign keys too, the canary is one slot, and the pool is imported with two."""
    assert cost(plan, FOUND) == (walks, pytest.approx(seconds))
