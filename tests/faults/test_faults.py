"""Each planted fault is found by each check under its name, and none is invented."""

import pytest

from relay_jobs import Stage
from tests.faults.checks import ALL, NOTHING, Site
from tests.faults.fault import Fault, shown
from tests.faults.page import PAGE, STAGES, page
from tests.faults.plants import FAULTS
from tests.faults.table import EXPECTED
from tests.servers import Server
from tests.store.records import new_store

pytestmark = pytest.mark.redis

# What is planted in many ways is looked at in all of them by the checks that compare; the others see one of each.
_COMPARING = ("verify", "repair", "backfill")


@pytest.fixture(params=STAGES)
def site(request: pytest.FixtureRequest, real_server: Server) -> Site:
    """Each real server in each stage."""
    return Site(real_server.main, Stage(request.param))


def looks(fault: Fault, check: str, server: str) -> list[str]:
    """The variants that a check looks at on a server."""
    everything = server == "valkey" and check in _COMPARING
    return list(fault.variants)[: None if everything else 1]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_check_shows_of_a_fault_what_the_table_says(site: Site, real_server: Server, fault: Fault) -> None:
    """In every stage, on both servers; the jobs beside it are as they were."""
    if real_server.name not in fault.servers:
        pytest.skip("this server has no such thing")
    for name, check in ALL.items():
        expected = shown(EXPECTED[fault.name][name], site.stage)
        for variant in looks(fault, name, real_server.name):
            assert check(site, fault.variants[variant]) == expected, f"{name}, {variant}"


def test_of_jobs_that_are_as_they_should_be_nothing_is_shown(site: Site) -> None:
    """No check invents anything."""
    shows = {name: check(site, lambda _: None) for name, check in ALL.items()}
    gate = NOTHING if site.stage is Stage.SEALED else "opens"
    quiet = dict.fromkeys(("verify", "repair", "backfill", "preflight"), NOTHING)
    assert shows == {**quiet, "gate": gate, "get_job": "the job", "list_jobs": "every job", "claim": "the job"}


def test_no_fault_shows_a_job_to_another_workspace(site: Site, real_server: Server) -> None:
    """But one that is that workspace's own by what it says of itself."""
    theirs = {"a legacy copy that names another workspace", "a copy under a second workspace"}
    for fault in FAULTS:
        if real_server.name in fault.servers and fault.name not in theirs:
            for plant in fault.variants.values():
                site.planted(plant)
                store = new_store(site.client)
                assert store.get_job("j", "beta") is None
                assert [job.job_id for job in store.list_jobs("beta").items] == ["other"]


def test_the_page_is_what_the_table_says() -> None:
    """``python -m tests.faults`` writes it."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_the_table_has_every_fault_and_check() -> None:
    """And no others."""
    assert list(EXPECTED) == [fault.name for fault in FAULTS]
    assert {tuple(row) for row in EXPECTED.values()} == {tuple(ALL)}


def test_what_no_check_finds_is_explained() -> None:
    """A note stands at the faults that nobody is told of, and only there."""
    quiet = {"verify": NOTHING, "repair": NOTHING, "backfill": NOTHING, "preflight": NOTHING}
    unseen = [name for name, row in EXPECTED.items() if quiet.items() <= row.items()]
    assert unseen == [fault.name for fault in FAULTS if fault.note]
