"""Metrics of the API: bounded labels, no workspace where tenants read them, each of them documented."""

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as families

from tests.api.conftest import Api

pytestmark = pytest.mark.redis

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"


def test_labels_are_bounded(api: Api) -> None:
    """Routes are templates, methods known ones, statuses classes; what a client makes up becomes one of them."""
    mine = api.key()
    (job_id,) = api.execute(mine)
    for path in (f"/ai/jobs/{job_id}", "/ai/jobs/ghost", "/made/up", "/ai/jobs?limit=x"):
        api.http.get(path, headers=mine)
    for method in ("MADE", "UP"):
        api.http.request(method, "/ai/jobs", headers=mine)
    labels: dict[str, set[str]] = {}
    for family in families(api.http.get("/metrics").text):
        for sample in family.samples:
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    assert labels["route"] == {"/ai/execute", "/ai/jobs", "/ai/jobs/{job_id}", "_other"}
    assert labels["method"] == {"GET", "POST", "_other"}
    assert labels["status"] == {"2xx", "4xx"}
    assert labels["workspace_id"] == {"_other"}


def test_requests_are_counted(api: Api) -> None:
    """Each once, by route, method and class of status, with its time."""
    for _ in range(3):
        api.http.get("/ai/jobs/ghost", headers=api.key())
    text = api.http.get("/metrics").text
    where = 'route="/ai/jobs/{job_id}"'
    assert f'relay_api_requests_total{{method="GET",{where},status="4xx"}} 3.0' in text
    assert f'relay_api_request_seconds_count{{method="GET",{where}}} 3.0' in text
    assert 'relay_job_read_path_total{path="miss",workspace_id="_other"} 3.0' in text


def test_every_metric_is_documented(api: Api) -> None:
    """With each of its labels."""
    api.execute(api.key())
    api.http.get("/ai/jobs/ghost", headers=api.key())
    page = PAGE.read_text(encoding="utf-8")
    for family in families(api.http.get("/metrics").text):
        if not family.name.endswith("_created"):
            name = family.name + "_total" * (family.type == "counter")
            rows = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
            assert len(rows) == 1, name
            labels = {label for sample in family.samples for label in sample.labels if label != "le"}
            assert labels == set(re.findall(r"`(\w+)`", rows[0].split("|")[2])), name
