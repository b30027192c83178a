"""Writes the page of faults: ``python -m tests.faults``."""

from tests.faults.page import PAGE, page

PAGE.write_text(page(), encoding="utf-8")
