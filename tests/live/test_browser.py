"""A whole migration as an operator makes it: in a browser, from the trigger form to the report."""

import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

from demo.airflow import PASSWORD, USER
from tests.airflow.runs import copies, seed
from tests.live.choice import on
from tests.live.deployment import DAG, Deployment
from tests.live.runs import LiveRun

pytestmark = pytest.mark.live

JOBS = {"acme": 900, "globex": 300, "tiny": 5}
PATIENCE = 120_000  # milliseconds


@pytest.fixture
def page(live: Deployment) -> Iterator[Page]:
    """A browser that is logged in."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(base_url=live.ports.url, viewport={"width": 1500, "height": 1000})
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        page.goto("/")
        page.fill("input[name=username]", USER)
        page.fill("input[name=password]", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile("^(?!.*login)"))
        yield page
        browser.close()


def open_form(page: Page) -> Locator:
    """The DAG's trigger form."""
    page.goto(f"/dags/{DAG}")
    page.get_by_role("button", name="Trigger").click()
    form = page.get_by_role("dialog").filter(has_text="Trigger Dag")
    expect(form.locator("[name=element_workspaces]")).to_be_visible()
    return form


def send(form: Locator) -> None:
    """Press the form's button."""
    form.get_by_role("button", name="Trigger").click()


def of_run(page: Page, live: Deployment) -> LiveRun:
    """The run whose page is shown after triggering."""
    page.wait_for_url(re.compile(r"/runs/"))
    return LiveRun(live.api, DAG, page.url.split("/runs/")[1].split("/")[0].split("?")[0])


def look(page: Page, run: LiveRun, rest: str) -> None:
    """Go to a page of the run."""
    page.goto(f"/dags/{DAG}/runs/{run.run_id}/{rest}")


@on("sqlite")
def test_from_the_trigger_form_to_the_report(live: Deployment, store, page: Page) -> None:
    """Canary workspaces in the form, the question answered with a comment, and the log says that nothing is lost."""
    seed(store, JOBS, invalid=2)
    form = open_form(page)
    form.locator("[name=element_canary_workspaces]").fill("tiny\nglobex")
    form.get_by_role("button", name="Limits").click()
    form.locator("[name=element_rps]").fill("400")
    send(form)
    run = of_run(page, live)

    run.wait_for("approval", "awaiting_input")
    look(page, run, "tasks/approval/required_actions")
    expect(page.get_by_text("Begin the full backfill?")).to_be_visible()
    for row in ("To copy 1,205 jobs", "migrated 1,205 305 would be copied; was copied whole", "equal 305"):
        expect(page.get_by_role("row", name=row)).to_be_visible()
    expect(page.get_by_text("Invalid records by reason")).to_contain_text("no_workspace 2")
    page.locator("[name=element_comment]").fill("the canary looks right")
    page.get_by_role("button", name="Approve").click()

    run.wait_for("full.walk", "running", "success")
    look(page, run, "tasks/full.walk/mapped")
    expect(page.get_by_role("link", name="partition 1 of")).to_be_visible()
    look(page, run, "plugin/relay-migration")
    status = page.frame_locator("iframe")
    expect(status.get_by_role("row", name=f"all others {'new_first'}")).to_be_visible()
    expect(status.get_by_role("row", name="approval")).to_contain_text("the canary looks right")

    assert run.end() == "success", run.states()
    look(page, run, "tasks/report")
    log = page.locator("body")
    expect(log).to_contain_text(f"triggered by {USER}, approved by {USER} (the canary looks right)")
    expect(log).to_contain_text("verification: clean")
    expect(log).to_contain_text("next: relay-jobs quarantine list")
    assert copies(store) == sum(JOBS.values())


@on("sqlite")
def test_what_the_form_does_not_take(live: Deployment, store, page: Page) -> None:
    """A malformed workspace is said in the form, which stays as it was filled; no run is made."""
    form = open_form(page)
    form.locator("[name=element_canary_workspaces]").fill("tiny\nno/slash")
    send(form)
    expect(form).to_contain_text("'no/slash' does not match")
    expect(form.locator("[name=element_canary_workspaces]")).to_have_value("tiny\nno/slash")
    assert live.api.runs(DAG, "running", "queued") == []


@on("sqlite")
def test_without_canary_workspaces_the_log_names_some(live: Deployment, store, page: Page) -> None:
    """Nothing is written; the operator reads in the log what to fill in."""
    seed(store, JOBS)
    send(open_form(page))
    run = of_run(page, live)
    assert run.end() == "failed"
    look(page, run, "tasks/preflight")
    expect(page.locator("body")).to_contain_text("needs canary_workspaces; the smallest are: tiny, globex, acme")
    assert copies(store) == 0
