"""Programs that a test needs and Python does not bring along."""

import os
import shutil

import pytest


def installed(name: str) -> str:
    """Where a program is; without it the test is skipped, and fails where the whole suite must run."""
    found = shutil.which(name)
    if found is None and os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"{name} is not installed")
    return found or pytest.skip(f"{name} is not installed")
