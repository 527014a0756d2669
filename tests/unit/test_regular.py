"""Only regular files are opened: others may block for ever."""

import os
import socket

import pytest

from tiffin.errors import NotYetError, ReadError
from tiffin.readers.file_checks import check_regular, open_regular


def a_pipe(path):
    os.mkfifo(path)


def a_folder(path):
    path.mkdir()


def a_socket(path):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


def a_device(path):
    path.symlink_to("/dev/zero")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("check", [open_regular, check_regular])
@pytest.mark.parametrize("make", [a_pipe, a_folder, a_socket, a_device])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, monkeypatch, make, check):
    """A pipe, folder, socket or device is named as what it is, and never waited for."""
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    make(tmp_path.__class__("x"))

    with pytest.raises(ReadError, match="only regular files are read") as refused:
        check(tmp_path / "x")

    assert not isinstance(refused.value, NotYetError)


def test_a_link_to_a_file_is_followed(tmp_path):
    """Data folders are full of links."""
    (tmp_path / "a").write_bytes(b"12")
    (tmp_path / "b").symlink_to(tmp_path / "a")

    with open_regular(tmp_path / "b") as file:
        assert file.read() == b"12"


def test_a_file_that_is_not_there_may_come(tmp_path):
    """A missing file, or a missing folder in its place, is late, not wrong."""
    with pytest.raises(NotYetError, match="is not there"):
        open_regular(tmp_path / "a" / "b")
