"""The page of figures is what the kept results say, and results come back as they were."""

from benchmarks.__main__ import PARTS
from benchmarks.page import PAGE, known, page
from benchmarks.result import Section, ratio


def test_the_page_follows_the_results() -> None:
    """Nobody edits a figure by hand."""
    assert PAGE.read_text(encoding="utf-8") == page(known(PARTS))


def test_a_ratio_is_taken_round_by_round() -> None:
    """The median of the rounds, not a quotient of medians."""
    row = ratio("x", [1.0, 2.0, 9.0], [1.0, 1.0, 3.0])
    assert (row.figure, row.low, row.high) == (2.0, 1.0, 3.0)


def test_results_come_back() -> None:
    """What is kept is what was found."""
    section = Section("T", "c", "s", (ratio("x", [1.0], [2.0]),), {"cores": "2"}, {"a": 1.0})
    assert Section.from_dict(section.as_dict()) == section
