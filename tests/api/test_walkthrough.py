"""The walk-through of the reference does what it says."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from tests.cli.conftest import url
from tests.servers import free_port

__all__ = ["url"]

pytestmark = pytest.mark.redis

ROOT = Path(__file__).parents[2]


def test_a_newcomer_can_follow_it(client: redis.Redis, url: str) -> None:
    """Each command in turn, as it stands there, on a port that is free."""
    page = (ROOT / "docs" / "reference" / "http-api.md").read_text(encoding="utf-8")
    part = page.split("## A walk-through")[1].split("\n## ")[0]
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```", part, re.MULTILINE | re.DOTALL))
    script = script.replace("8000", str(free_port())) + "\nwait"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "REDIS_URL": url}
    command = ["bash", "-u", "-c", script]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)
    said = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    assert said, ran.stdout + ran.stderr
    health, executed, job, page_of_jobs, foreign, revoked = said
    assert health == {"status": "ok"}
    (job_id,) = executed["job_ids"]
    assert job["job_id"] == page_of_jobs["jobs"][0]["job_id"] == job_id
    assert (foreign["status"], revoked["status"]) == (404, 401)
    assert "globex" in ran.stdout
