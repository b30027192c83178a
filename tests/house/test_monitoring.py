"""Alerts and dashboard ask for what is exported, in PromQL that Prometheus understands, and say what to do."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from relay_jobs.api_metrics import ApiMetrics
from relay_jobs.exporter import registry
from tests.house.test_documentation import wrong_in
from tests.programs import installed
from tests.servers import Running, running

__all__ = ["running"]

# Prometheus has these of itself.
OF_PROMETHEUS = {"ALERTS": {"alertname", "alertstate"}, "up": {"job"}}
WORDS = {"and", "or", "unless", "by", "on", "offset"}
FUNCTIONS = {"histogram_quantile", "increase", "rate", "sum", "time", "vector"}

Promtool = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def dashboard(root) -> dict[str, Any]:
    return json.loads((root / "monitoring/grafana/dashboards/migration.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def panels(dashboard) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


@pytest.fixture(scope="module")
def alerts(root) -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((root / "monitoring/prometheus/alerts.yaml").read_text(encoding="utf-8"))["groups"]
    return group["rules"]


@pytest.fixture(scope="module")
def services(root) -> dict[str, Any]:
    return yaml.safe_load((root / "docker-compose.yaml").read_text(encoding="utf-8"))["services"]


@pytest.fixture(scope="module")
def scraped(root) -> dict[str, Any]:
    text = (root / "monitoring/prometheus/prometheus.yaml").read_text(encoding="utf-8")
    return {job["job_name"]: job for job in yaml.safe_load(text)["scrape_configs"]}


@pytest.fixture(scope="module")
def expressions(panels, alerts) -> list[str]:
    """All PromQL there is, with Grafana's variables filled in."""
    shown = [target["expr"] for panel in panels for target in panel["targets"]]
    return [
        expr.replace("$__rate_interval", "1m").replace("$workspace", ".*")
        for expr in [*shown, *(alert["expr"] for alert in alerts)]
    ]


@pytest.fixture(scope="module")
def exported(running: Running) -> dict[str, set[str]]:
    """Every metric that the exporter, the library and the API have, as PromQL names it, with its labels."""
    processes = ApiMetrics(1).registry
    migration = registry(running.server("valkey").main)
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}
    own = {
        "ai_jobs_dual_write": {"result"},
        "relay_api_request_seconds": {"method", "route"},
        "relay_api_requests": {"method", "route", "status"},
        "relay_job_read_path": {"path"},
    }
    found = {}
    for family in [*migration.collect(), *processes.collect()]:
        labels = set(getattr(family, "_labelnames", ())) | own.get(family.name, set()) | {"workspace_id"}
        for suffix in suffixes.get(family.type, [""]):
            found[family.name + suffix] = labels | ({"le"} if family.type == "histogram" else set())
    return found | OF_PROMETHEUS


@pytest.fixture
def promtool(root) -> Promtool:
    program = installed("promtool")
    return lambda *words: subprocess.run([program, *words], cwd=root, capture_output=True, text=True, check=False)


def metrics(expr: str) -> set[str]:
    """Names that are asked for: what is left without matchers, strings, groupings, numbers and functions."""
    plain = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(by|on) \([^)]*\)|\boffset \w+', " ", expr)
    return set(re.findall(r"[A-Za-z_]\w*", plain)) - WORDS - FUNCTIONS


def labels(expr: str) -> set[str]:
    """Labels that are matched or grouped by."""
    grouped = re.findall(r"\b(?:by|on) \(([^)]*)\)", expr)
    return {word for text in grouped for word in re.findall(r"\w+", text)} | set(re.findall(r"(\w+)[!=]~?\"", expr))


def test_only_metrics_and_labels_are_asked_for_that_are_exported(expressions, exported):
    unknown = {expr: metrics(expr) - set(exported) for expr in expressions}
    assert {expr: names for expr, names in unknown.items() if names} == {}
    strange = {expr: labels(expr) - set().union(*(exported[name] for name in metrics(expr))) for expr in expressions}
    assert {expr: names for expr, names in strange.items() if names} == {}


def test_everything_that_is_exported_is_asked_for(expressions, exported):
    asked = set().union(*map(metrics, expressions))
    assert {name for name in exported if name not in asked and not name.endswith(("_count", "_sum"))} == set()


def test_every_expression_is_promql(promtool, expressions, tmp_path):
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(expressions)]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked = promtool("check", "rules", str(file))
    assert checked.returncode == 0, checked.stderr
    assert f"{len(expressions)} rules found" in checked.stdout


def test_prometheus_understands_its_configuration(promtool, root, tmp_path):
    shutil.copytree(root / "monitoring/prometheus", tmp_path / "prometheus")
    file = tmp_path / "prometheus/prometheus.yaml"
    file.write_text(file.read_text().replace("/etc/prometheus/", f"{file.parent}/"))
    checked = promtool("check", "config", str(file))
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stdout + checked.stderr


def test_alerts_fire_when_they_should_and_only_then(promtool):
    tested = promtool("test", "rules", "tests/house/alert_cases.yaml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_alert_is_tested(root, alerts):
    cases = (root / "tests/house/alert_cases.yaml").read_text(encoding="utf-8")
    assert [alert["alert"] for alert in alerts if alert["alert"] not in cases] == []


def test_every_alert_says_what_it_means_and_the_next_command(alerts):
    for alert in alerts:
        assert set(alert["annotations"]) == {"command", "description", "summary"}, alert["alert"]
        assert alert["labels"]["severity"] in {"page", "ticket"}
        assert alert["annotations"]["command"].startswith("relay-jobs ")
        assert wrong_in(alert["annotations"]["command"]) is None


def test_every_panel_has_a_title_a_description_a_unit_and_data(panels, root):
    source = yaml.safe_load((root / "monitoring/grafana/datasources/prometheus.yaml").read_text(encoding="utf-8"))
    (provisioned,) = source["datasources"]
    for panel in panels:
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert {"type": "prometheus", "uid": provisioned["uid"]} == panel["datasource"]
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
    assert len({panel["title"] for panel in panels}) == len(panels)


def commands(text: str) -> Iterator[str]:
    """Commands that a description names, up to the end of what an option is given."""
    yield from re.findall(r"relay-jobs(?: [a-z]+)*(?: --[a-z]+)?", text)


def test_commands_in_descriptions_exist(panels, alerts):
    texts = [panel["description"] for panel in panels] + [alert["annotations"]["description"] for alert in alerts]
    assert sum(len(list(commands(text))) for text in texts) > 5
    # What follows a command in a sentence is no part of it: the longest beginning that is one has to be.
    for text in texts:
        for command in commands(text):
            words = command.split()
            assert any(wrong_in(" ".join(words[:end])) is None for end in range(2, len(words) + 1)), command


def test_panels_do_not_cover_each_other(dashboard):
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    assert max(place["x"] + place["w"] for place in places) == 24
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(places)


def test_prometheus_scrapes_services_where_they_listen(scraped, services):
    targets = {
        job: job_config["static_configs"][0]["targets"]
        for job, job_config in scraped.items()
        if "static_configs" in job_config
    }
    assert set(targets) == {"relay-api", "relay-migration"}
    for (target,) in targets.values():
        host, _, port = target.partition(":")
        assert f"--port {port}" in services[host]["command"]


def test_files_are_mounted_where_they_are_looked_for(root, services, scraped):
    mounts = [mount.split(":") for name in ("grafana", "prometheus") for mount in services[name]["volumes"]]
    provider = yaml.safe_load((root / "monitoring/grafana/dashboards/provider.yaml").read_text(encoding="utf-8"))
    wanted = [
        services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"],
        provider["providers"][0]["options"]["path"],
        services["prometheus"]["command"][0].partition("=")[2],
        *scraped["relay-application"]["file_sd_configs"][0]["files"],
    ]
    for path in wanted:
        found = [
            root / source / Path(path).relative_to(target)
            for source, target, *_ in mounts
            if Path(path).is_relative_to(target)
        ]
        assert [file for file in found if file.exists()], path
