"""The tree of errors: one root, and messages with ids and reasons."""

import inspect
import pickle

import pytest

import relay_jobs
from relay_jobs import errors

ALL = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, Exception)]


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_every_error_is_ours(error: type[Exception]) -> None:
    """One `except` catches all of them, and each says what it is for."""
    assert issubclass(error, relay_jobs.RelayJobsError)
    assert error.__doc__


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_the_tree_in_the_docstring_is_the_tree(error: type[Exception]) -> None:
    """The picture at the top of the module has every class."""
    assert error.__name__ in (errors.__doc__ or "")


def test_bad_input_is_a_value_error() -> None:
    """Callers that know only Python's own errors can catch bad input and unknown ids."""
    assert issubclass(errors.UsageError, ValueError)
    assert issubclass(errors.JobNotFound, LookupError)


def test_a_foreign_job_reads_as_unknown() -> None:
    """The same words, so that nothing tells a tenant whose an id is."""
    assert str(errors.ForeignJob("j")) == str(errors.JobNotFound("j"))


def test_messages_are_bounded() -> None:
    """A huge value in the place of an id does not fill the log."""
    assert len(str(errors.InvalidJobId("x" * 10**6))) < 300
    assert len(str(errors.InvalidWorkspace("x" * 10**6))) < 300


@pytest.mark.parametrize(
    "error",
    [
        errors.JobNotFound("j"),
        errors.ForeignJob("j"),
        errors.JobExists("j"),
        errors.IdempotencyConflict("r"),
        errors.IllegalTransition("j", "completed", "running"),
        errors.ClaimLost("j"),
        errors.WrongType("k", "list"),
        errors.InvalidJobId("", "worker id"),
        errors.GateRefused("cannot", ["because"]),
        errors.LeaseHeld("lease", "run", 3.0),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_cross_processes(error: Exception) -> None:
    """A worker pool sends its errors as pickles; class, words and fields arrive."""
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 -- our own
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


def test_the_public_names_are_sorted_and_there() -> None:
    """Every public name can be imported from the package."""
    assert sorted(relay_jobs.__all__) == relay_jobs.__all__
    for name in relay_jobs.__all__:
        assert getattr(relay_jobs, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = relay_jobs.Nothing
