"""What a safeguard is: which promise it keeps, and the edit that takes it out."""

from dataclasses import dataclass

from tests.safeguards.edits import Edit


@dataclass(frozen=True)
class Safeguard:
    """One safeguard of the product.

    Attributes:
        name: how the table and the tests call it.
        promise: number of the invariant that falls with it, or the area it belongs to.
        without: what would happen without it.
        edit: what takes it out.
    """

    name: str
    promise: str
    without: str
    edit: Edit


def lua(script: str, old: str, new: str) -> Edit:
    """An edit of one Lua file."""
    return Edit(f"lua/{script}.lua", old, new)


def guard(name: str, promise: str, without: str, edit: Edit) -> Safeguard:
    """One line of a table."""
    return Safeguard(name, promise, without, edit)
