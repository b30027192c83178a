"""A safeguard that no test notices fails the build."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.safeguards.page import PAGE, page
from tests.safeguards.table import SAFEGUARDS, TABLES, noticed

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The test that failed without each safeguard, '' where none did."""
    out = tmp_path_factory.mktemp("safeguards") / "outcomes.json"
    command = [sys.executable, "-m", "tests.safeguards", "check", "--out", str(out)]
    # The edited package would count as uncovered code.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "COVERAGE_"))}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=280)
    found: dict[str, str] = json.loads(out.read_text(encoding="utf-8"))
    return found


@pytest.mark.redis
@pytest.mark.parametrize("name", SAFEGUARDS)
def test_a_test_notices_when_it_is_gone(outcomes: dict[str, str], name: str) -> None:
    """Without the safeguard, a test that is known to notice fails."""
    nodes = noticed().get(name)
    assert nodes, "no test is known to notice: python -m tests.safeguards learn"
    assert outcomes[name].split("[")[0] in {node.split("[")[0] for node in nodes}


def test_each_safeguard_has_a_name_of_its_own() -> None:
    """No line of the table hides another one, nor the same change under two names."""
    lines = [safeguard for table in TABLES.values() for safeguard in table]
    assert len(SAFEGUARDS) == len(lines) == len({safeguard.edit for safeguard in lines})


@pytest.mark.parametrize("name", SAFEGUARDS)
def test_its_code_is_there_exactly_once(name: str) -> None:
    """The table follows the code."""
    before, after = SAFEGUARDS[name].edit.texts()
    assert before != after


def test_the_page_follows_the_table() -> None:
    """The table in the documentation is the one that the tests run on."""
    assert PAGE.read_text(encoding="utf-8") == page()
