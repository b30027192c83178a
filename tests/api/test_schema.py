"""The API's description is right: schemathesis, with all its checks and phases, finds nothing."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from relay_jobs.api_models import JobPage, JobView
from relay_jobs.api_problems import KINDS
from tests.api.conftest import Api
from tests.store.records import put_legacy

pytestmark = pytest.mark.redis

EXAMPLES, SEED = 25, 1

# 400 beside the default: a cursor is a text for a schema, and any that was not returned before is refused with 400.
CONFIG = """\
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409"]
"""


@pytest.fixture
def description(api: Api) -> dict[str, Any]:
    """The API's description, as anybody can read it."""
    found: dict[str, Any] = api.http.get("/openapi.json").json()
    return found


def test_schemathesis_finds_nothing(api: Api, serve: Callable[[Api], int], tmp_path: Path) -> None:
    """Examples, coverage, fuzzing and stateful walks, good and bad data, every check, on a real server."""
    put_legacy(api.redis, "old", status="completed", result='{"a": [1]}')
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    examples, seed = os.environ.get("API_EXAMPLES", str(EXAMPLES)), os.environ.get("API_SEED", str(SEED))
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", f"http://127.0.0.1:{serve(api)}/openapi.json"]
    command += ["--checks", "all", "--phases", "examples,coverage,fuzzing,stateful", "--continue-on-failure"]
    command += ["--seed", seed, "-n", examples, "--generation-deterministic", "--no-color"]
    # That a busy machine is slow is no finding.
    command += ["--suppress-health-check", "too_slow"]
    command += ["-H", f"Authorization: {api.key()['Authorization']}"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    counted = re.search(r"(\d+) generated, (\d+) passed", ran.stdout)
    assert counted is not None, ran.stdout
    assert counted[1] == counted[2]
    assert int(counted[1]) > 200
    assert "Operations:       5 selected" in ran.stdout


def test_every_route_documents_its_refusals(description: dict[str, Any]) -> None:
    """What needs a key says so, each problem stands at the routes that have it, and each is a problem there."""
    said = json.dumps(description)
    own = [kind for kind in KINDS if kind.name not in {"no-such-route", "method-not-allowed", "bad-request"}]
    assert [kind.type for kind in own if kind.type not in said] == []
    for path, methods in description["paths"].items():
        for operation in methods.values():
            statuses = set(operation["responses"])
            closed = path.startswith("/ai/")
            assert bool(operation.get("security")) == closed
            assert not closed or {"401", "403", "422", "500", "503"} <= statuses
            for status in statuses - {"200", "202"}:
                assert set(operation["responses"][status]["content"]) == {"application/problem+json"}


def test_every_bound_is_documented(description: dict[str, Any]) -> None:
    """Lengths, numbers, and that nothing beside the documented fields is taken or given."""
    schemas = description["components"]["schemas"]
    assert (schemas["ExecuteRequest"]["properties"]["actions"]["minItems"],) == (1,)
    assert schemas["ExecuteRequest"]["properties"]["actions"]["maxItems"] == 100
    assert schemas["Action"]["properties"]["provider"]["maxLength"] == 256
    limit = next(each for each in description["paths"]["/ai/jobs"]["get"]["parameters"] if each["name"] == "limit")
    assert (limit["schema"]["minimum"], limit["schema"]["maximum"]) == (1, 1000)
    open_ended = [name for name, each in schemas.items() if each["type"] == "object" and each["additionalProperties"]]
    assert open_ended == []
    assert set(schemas["JobView"]["properties"]) == set(JobView.model_fields)
    assert set(schemas["JobPage"]["properties"]) == set(JobPage.model_fields)
    assert "params" not in schemas["JobView"]["properties"]
    assert "actor_id" not in schemas["JobView"]["properties"]
