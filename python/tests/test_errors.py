"""The exceptions: one base, one table of numbers, families for what is unknown."""

from __future__ import annotations

import errno
import inspect
import pickle

import pytest

import cairnlog
from cairnlog import Status, _native, errors


def test_numbers_and_names_are_the_engines() -> None:
    assert [(status.value, status.name) for status in Status] == _native.STATUSES


def test_outcomes_are_the_engines() -> None:
    outcomes = [(outcome.value, outcome.name) for outcome in cairnlog.ReadOutcome]
    assert outcomes == _native.READ_OUTCOMES


def test_every_exception_derives_from_error() -> None:
    classes = [
        value
        for module in (cairnlog, errors)
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, BaseException)
    ]
    assert len(classes) >= 2 * len(errors.__all__)
    assert all(issubclass(value, cairnlog.Error) for value in classes)
    assert set(errors.__all__) <= set(cairnlog.__all__)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.OK])
def test_every_status_makes_an_exception_of_its_family(status: Status) -> None:
    family = {
        0: cairnlog.InvalidArgumentError,
        1: cairnlog.StateError,
        2: cairnlog.StorageError,
        3: cairnlog.CorruptionError,
        9: cairnlog.InternalError,
    }[status // 100]
    error = errors._make_error(status, "text", "file", 7, None, None)
    assert isinstance(error, family)
    assert error.status is status
    assert str(error) == "text"
    assert (error.path, error.offset, error.os_code, error.appended) == ("file", 7, None, None)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (99, cairnlog.InvalidArgumentError),
        (199, cairnlog.StateError),
        (299, cairnlog.StorageError),
        (399, cairnlog.CorruptionError),
        (950, cairnlog.InternalError),
        (500, cairnlog.Error),
        (-1, cairnlog.Error),
    ],
)
def test_an_unknown_status_makes_its_familys_exception(
    status: int, expected: type[cairnlog.Error]
) -> None:
    error = errors._make_error(status, "text", None, None, None, None)
    assert type(error) is expected
    assert error.status == status


def test_storage_errors_are_os_errors_with_errno() -> None:
    error = errors._make_error(Status.IO, "text", "file", None, errno.ENODEV, None)
    assert isinstance(error, OSError)
    assert (error.errno, error.filename, str(error)) == (errno.ENODEV, "file", "text")
    full = errors._make_error(Status.DISK_FULL, "text", None, None, None, None)
    assert isinstance(full, cairnlog.DiskFullError)
    assert full.errno == errno.ENOSPC


def test_exceptions_can_be_pickled() -> None:
    for status in (Status.TOPIC_EMPTY, Status.DISK_FULL, Status.WAIT_TIMEOUT):
        error = errors._make_error(status, "text", "file", 7, 28, None)
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert str(copy) == "text"
        assert vars(copy) == vars(error)
