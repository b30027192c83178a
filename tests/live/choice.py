"""Which backends a live test runs on, and on which of them in every run of the suite."""

import pytest

from tests.live.backends import BACKENDS


def on(*quick: str, also: tuple[str, ...] = tuple(BACKENDS)) -> pytest.MarkDecorator:
    """Run on ``quick`` always, on ``also`` by ``make live``."""
    params = [
        pytest.param(name, marks=[] if name in quick else pytest.mark.long) for name in dict.fromkeys(quick + also)
    ]
    return pytest.mark.parametrize("deployment", params, indirect=True, scope="session")
