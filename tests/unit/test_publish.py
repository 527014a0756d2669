"""Publishing where the system refuses: a sentence, the errno, and nothing left."""

import ctypes
import errno
import os
import platform
import resource
import shutil
import stat
import struct
import subprocess
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tiffin.errors import DtypeError, ExistsError, WriteError
from tiffin.writers import TiffWriter, publish, write_buffers
from tiffin.writers.checksums import write_all

CALLS = {
    "x86_64": {
        "openat": 257,
        "write": 1,
        "writev": 20,
        "fchmod": 91,
        "fsync": 74,
        "link": 86,
        "linkat": 265,
        "rename": 82,
        "unlink": 87,
        "unlinkat": 263,
        "renameat": 264,
        "renameat2": 316,
    },
    "aarch64": {
        "openat": 56,
        "write": 64,
        "writev": 66,
        "fchmod": 52,
        "fsync": 82,
        "linkat": 37,
        "renameat": 38,
        "unlinkat": 35,
        "renameat2": 276,
    },
}
"""Numbers of Linux's system calls (asm/unistd.h)."""

NAMELESS = getattr(os, "O_TMPFILE", 0) & ~os.O_DIRECTORY
NO_LINKS = {"link": errno.EPERM, "linkat": errno.EPERM}
NO_FLAGS = {"renameat2": errno.EINVAL}
IMAGE = np.arange(60_000, dtype="u2").reshape(200, 300)

write_image = partial(write_buffers, buffers=TiffWriter().buffers(IMAGE))


def refusing(refusals, job, *, opening=os.O_WRONLY):
    """Run a job in a thread in which the system refuses some calls.

    `refusals` gives an errno for the name of each; of `openat`, calls with one of the
    flags `opening` are refused. This is a seccomp filter (seccomp(2)), which ends with
    its thread: the code under test and the libraries run as they are.
    """
    outcome = []

    def work():
        _refuse(refusals, opening)
        try:
            outcome.append((job(), None))
        except Exception as error:  # noqa: BLE001 (raised again, in the test's thread)
            outcome.append((None, error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    ((result, error),) = outcome
    if error is not None:
        raise error
    return result


def _refuse(refusals, opening):
    numbers = CALLS.get(platform.machine(), {})
    load, equal, anyof, give = 0x20, 0x15, 0x45, 0x06  # linux/filter.h
    program = []
    for name, code in refusals.items():
        if name not in numbers:
            continue
        refuse = (give, 0, 0, 0x00050000 | code)  # SECCOMP_RET_ERRNO
        if name == "openat":
            program += [(load, 0, 0, 0), (equal, 0, 3, numbers[name])]
            program += [(load, 0, 0, 32), (anyof, 0, 1, opening), refuse]
        else:
            program += [(load, 0, 0, 0), (equal, 0, 1, numbers[name]), refuse]
    program.append((give, 0, 0, 0x7FFF0000))  # SECCOMP_RET_ALLOW
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    held = ctypes.create_string_buffer(code)
    filter_ = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(held))
    library = ctypes.CDLL(None, use_errno=True)
    assert library.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    assert library.prctl(22, 2, filter_, 0, 0) == 0  # PR_SET_SECCOMP


@pytest.fixture(scope="module", autouse=True)
def filters():
    """Skip where system calls can't be refused."""
    if platform.system() != "Linux" or platform.machine() not in CALLS:
        pytest.skip("needs Linux's seccomp on x86_64 or aarch64")
    try:
        refusing({"fchmod": errno.EPERM}, lambda: None)
    except ValueError:
        pytest.skip("this system lets no filter be set")


@contextmanager
def mounted(folder, options):
    """Mount a small file system in memory."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("only root mounts")
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    if told.returncode:
        pytest.skip(f"mounting does not work here: {told.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def permissions(path):
    return stat.S_IMODE(path.stat().st_mode)


def published(target, **settings):
    return publish(target, write_image, **{"replace": False, **settings})


def test_what_write_gives_comes_back(tmp_path):
    """A caller learns size and checksum without another look at the file."""
    written = published(str(tmp_path / "x.tif"))

    assert written.nbytes == (tmp_path / "x.tif").stat().st_size


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_refused_write_leaves_all_as_it_was(tmp_path, names_in, code, replace):
    """S32: a full or broken disk is an error, and no partial or hidden file stays."""
    kept = tmp_path / "old.tif"
    kept.write_bytes(b"precious")
    target = kept if replace else tmp_path / "new.tif"

    with pytest.raises(WriteError, match=os.strerror(code)) as caught:
        refusing({"writev": code}, partial(published, target, replace=replace))

    assert caught.value.errno == code
    assert str(target) in str(caught.value)
    assert names_in(tmp_path) == ["old.tif"]
    assert kept.read_bytes() == b"precious"


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize(
    "code", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EMFILE]
)
def test_a_refused_file_is_told(tmp_path, names_in, code, replace):
    """The error names whatever forbids a new file in the folder."""
    job = partial(published, tmp_path / "x.tif", replace=replace)

    with pytest.raises(WriteError, match=os.strerror(code)) as caught:
        refusing({"openat": code}, job, opening=os.O_WRONLY)

    assert caught.value.errno == code
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("call", ["fchmod", "fsync"])
def test_a_refusal_behind_the_write_leaves_nothing(tmp_path, names_in, call, replace):
    """A file counts only once it is as safe as requested."""
    job = partial(published, tmp_path / "x.tif", replace=replace, mode=0o640, sync=True)

    with pytest.raises(WriteError) as caught:
        refusing({call: errno.EIO}, job)

    assert caught.value.errno == errno.EIO
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("replace", [False, True])
def test_a_name_that_is_refused_leaves_nothing(tmp_path, names_in, replace):
    """A written file that can't get its name is an error, and no hidden file stays."""
    calls = ("link", "linkat", "rename", "renameat", "renameat2")
    job = partial(published, tmp_path / "x.tif", replace=replace)

    with pytest.raises(WriteError) as caught:
        refusing(dict.fromkeys(calls, errno.EIO), job)

    assert caught.value.errno == errno.EIO
    assert names_in(tmp_path) == []


WORSE_SYSTEMS = [
    pytest.param({"openat": errno.EOPNOTSUPP}, id="no files without names"),
    pytest.param(NO_LINKS, id="no hard links"),
    pytest.param(
        {"openat": errno.EISDIR, "link": errno.EOPNOTSUPP, "linkat": errno.ENOSYS},
        id="neither",
    ),
    pytest.param({**NO_LINKS, **NO_FLAGS}, id="no way without a look"),
    pytest.param({**NO_LINKS, "renameat2": errno.ENOSYS}, id="an old kernel"),
]


@pytest.mark.parametrize("refusals", WORSE_SYSTEMS)
def test_file_systems_that_know_less_get_whole_files(tmp_path, names_in, refusals):
    """FAT, network shares, old kernels: the whole file, and nothing else."""
    job = partial(published, tmp_path / "a" / "x.tif")

    written = refusing(refusals, job, opening=NAMELESS)

    assert names_in(tmp_path) == ["a/x.tif"]
    assert (tmp_path / "a/x.tif").stat().st_size == written.nbytes


@pytest.mark.parametrize("refusals", WORSE_SYSTEMS)
def test_file_systems_that_know_less_replace_nothing(tmp_path, names_in, refusals):
    """S31: on these an existing file stays, too."""
    (tmp_path / "x.tif").write_bytes(b"precious")

    with pytest.raises(ExistsError, match="existing='skip'"):
        refusing(refusals, partial(published, tmp_path / "x.tif"), opening=NAMELESS)

    assert (tmp_path / "x.tif").read_bytes() == b"precious"
    assert names_in(tmp_path) == ["x.tif"]


def test_a_link_whose_answer_was_lost_counts(tmp_path, names_in):
    """NFS repeats a call that succeeded, and gets told that the name is taken."""
    target = tmp_path / "x.tif"

    def write(descriptor):
        written = write_image(descriptor)
        (hidden,) = tmp_path.iterdir()
        target.hardlink_to(hidden)
        return written

    job = partial(publish, target, write, replace=False)
    written = refusing({"openat": errno.EOPNOTSUPP}, job, opening=NAMELESS)

    assert target.stat().st_size == written.nbytes
    assert names_in(tmp_path) == ["x.tif"]


def test_a_temporary_name_that_stays_is_no_failure(tmp_path, names_in):
    """The file is written; the next export removes the temporary name."""
    refusals = dict.fromkeys(("unlink", "unlinkat"), errno.EIO)
    refusals["openat"] = errno.EOPNOTSUPP

    refusing(refusals, partial(published, tmp_path / "x.tif"), opening=NAMELESS)

    hidden, named = names_in(tmp_path)
    assert hidden.endswith(".part")
    assert named == "x.tif"


def test_a_dangling_link_is_a_file_too(tmp_path):
    """The name is taken, whatever it points to."""
    (tmp_path / "x.tif").symlink_to("nowhere")

    with pytest.raises(ExistsError):
        published(tmp_path / "x.tif")

    assert (tmp_path / "x.tif").is_symlink()


@pytest.mark.parametrize("replace", [False, True])
def test_a_folder_that_vanished_is_made_again(tmp_path, names_in, replace):
    """Someone tidies up during a write: the frame is not lost."""
    target = tmp_path / "a" / "x.tif"
    target.parent.mkdir()
    calls = []

    def write(descriptor):
        if not calls:
            shutil.rmtree(target.parent)
        calls.append(descriptor)
        return write_image(descriptor)

    publish(target, write, replace=replace)

    assert names_in(tmp_path) == ["a/x.tif"]


def test_a_folder_made_by_another_meanwhile_is_used(tmp_path, names_in, monkeypatch):
    """Two workers make one folder: neither fails."""
    monkeypatch.setattr(os, "mkdir", made_by_another(os.mkdir))

    publish(tmp_path / "a/b/x.tif", write_image, replace=False)

    assert names_in(tmp_path) == ["a/b/x.tif"]


def test_a_folder_that_can_not_be_looked_at_tells_its_cause(tmp_path, monkeypatch):
    """S32: the error is the system's, and does not call it a file."""

    def refuse(path, **_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(os, "mkdir", made_by_another(os.mkdir))
    monkeypatch.setattr(os, "stat", refuse)

    with pytest.raises(WriteError, match="Permission denied") as caught:
        publish(tmp_path / "a/x.tif", write_image, replace=False)

    assert caught.value.errno == errno.EACCES


def made_by_another(mkdir):
    """Return an `os.mkdir` that comes too late."""

    def late(path, **where):
        mkdir(path, **where)
        mkdir(path, **where)

    return late


def test_a_folder_that_goes_on_vanishing_is_told(tmp_path):
    """It is made again once; there is no endless loop."""
    target = tmp_path / "a" / "x.tif"

    def write(descriptor):
        target.parent.rmdir() if NAMELESS else shutil.rmtree(target.parent)
        return write_image(descriptor)

    with pytest.raises(WriteError, match="was its folder removed") as caught:
        publish(target, write, replace=False)

    assert caught.value.errno == errno.ENOENT


@pytest.mark.parametrize("name", ["x" * 300 + ".tif", "x" * 300 + "/x.tif"])
def test_a_name_too_long_is_told(tmp_path, names_in, name):
    """S32: the error says what to do."""
    with pytest.raises(WriteError, match="shorten it") as caught:
        published(f"{tmp_path}/{name}")

    assert caught.value.errno == errno.ENAMETOOLONG
    assert names_in(tmp_path) == []


def test_a_full_disk_is_told(tmp_path, names_in):
    """S32: a file system with less room than the file takes."""
    with mounted(tmp_path / "small", "size=64k") as folder:
        with pytest.raises(WriteError, match="make room") as caught:
            published(folder / "x.tif")
        left = names_in(folder)
        free = os.statvfs(folder).f_bavail

    assert caught.value.errno == errno.ENOSPC
    assert left == []
    assert free == 16  # pages: what was written is given back


def test_a_read_only_file_system_is_told(tmp_path):
    """Not even a temporary file can be made there."""
    with (
        mounted(tmp_path / "fixed", "ro") as folder,
        pytest.raises(WriteError, match="Read-only") as caught,
    ):
        published(folder / "x.tif")

    assert caught.value.errno == errno.EROFS


def test_a_folder_of_others_is_told(names_in):
    """Without permission, the error names the folder, which stays as it is."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    library = ctypes.CDLL(None)

    def as_nobody():
        if os.geteuid() == 0:  # of this thread alone, and of its file accesses
            library.setfsuid(65534)
        return published(folder / "x.tif")

    with pytest.raises(WriteError, match="Permission denied") as caught:
        refusing({}, as_nobody)

    assert caught.value.errno == errno.EACCES
    assert names_in(folder) == []
    folder.rmdir()


def test_a_file_larger_than_allowed_is_told(tmp_path, names_in):
    """`ulimit -f`: the system takes a part, then refuses."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(WriteError, match="ulimit") as caught:
            published(tmp_path / "x.tif")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert caught.value.errno == errno.EFBIG
    assert names_in(tmp_path) == []


def test_a_device_that_takes_nothing_is_an_error():
    """The system's error is raised."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(OSError, match="No space left"):
            write_image(descriptor)
    finally:
        os.close(descriptor)


def test_more_buffers_than_the_system_gathers_are_written(tmp_path):
    """IOV_MAX is 1,024."""
    buffers = [bytes([i % 251]) * (i % 3) for i in range(5_000)]
    with (tmp_path / "x").open("wb") as file:
        size = write_all(file.fileno(), buffers)

    assert (tmp_path / "x").read_bytes() == b"".join(buffers)
    assert size == len(b"".join(buffers))


@pytest.mark.parametrize("replace", [False, True])
def test_the_umask_decides_the_mode(tmp_path, replace):
    """As with any other program's files."""
    before = os.umask(0o027)
    try:
        published(tmp_path / "x.tif", replace=replace)
    finally:
        os.umask(before)

    assert permissions(tmp_path / "x.tif") == 0o640


@pytest.mark.parametrize("replace", [False, True])
def test_a_mode_is_given_as_asked(tmp_path, replace):
    """Whatever the umask."""
    published(tmp_path / "x.tif", replace=replace, mode=0o664)

    assert permissions(tmp_path / "x.tif") == 0o664


@pytest.mark.parametrize("replace", [False, True])
def test_a_setgid_folder_gives_its_group(tmp_path, replace):
    """A beamline's shared folder stays shared, and those made in it too."""
    if os.geteuid():
        pytest.skip("only root gives a folder to any group")
    folder = tmp_path / "shared"
    folder.mkdir()
    os.chown(folder, -1, 12345)
    folder.chmod(0o2775)

    published(folder / "a" / "x.tif", replace=replace)

    assert permissions(folder) == 0o2775
    assert permissions(folder / "a") & stat.S_ISGID
    assert (folder / "a" / "x.tif").stat().st_gid == 12345


@pytest.mark.parametrize("folder", [".", "a/b"])
def test_what_is_synced_is_there(tmp_path, folder):
    """The file, its folder, and folders that were made above."""
    published(tmp_path / folder / "x.tif", sync=True)

    assert (tmp_path / folder / "x.tif").exists()


def test_a_relative_name_is_in_the_working_directory(tmp_path, monkeypatch):
    """With and without a folder."""
    monkeypatch.chdir(tmp_path)

    published("x.tif")
    published("a/x.tif", replace=True)

    assert (tmp_path / "x.tif").exists()
    assert (tmp_path / "a/x.tif").exists()


def test_one_of_many_gets_the_name(tmp_path, names_in):
    """S31: of many concurrent writers of one name, one succeeds and the others fail."""

    def one(number):
        try:
            data = bytes([number]) * 100_000
            publish(tmp_path / "x.tif", lambda fd: os.write(fd, data), replace=False)
        except ExistsError:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        winners = [number for number in pool.map(one, range(40)) if number is not None]

    (winner,) = winners
    assert (tmp_path / "x.tif").read_bytes() == bytes([winner]) * 100_000
    assert names_in(tmp_path) == ["x.tif"]


def test_a_name_that_no_call_takes_is_told(tmp_path, names_in):
    """A NUL byte is an error with a sentence."""
    with pytest.raises(WriteError, match="null"):
        published(f"{tmp_path}/x\0.tif")

    assert names_in(tmp_path) == []


@pytest.mark.parametrize("replace", [False, True])
def test_an_image_that_no_tiff_holds_leaves_nothing(tmp_path, names_in, replace):
    """The writer's own error is raised unchanged."""
    image = np.zeros((2, 2), "c8")

    def write(descriptor):
        return write_buffers(descriptor, TiffWriter().buffers(image))

    with pytest.raises(DtypeError, match="make them real"):
        publish(tmp_path / "x.tif", write, replace=replace)

    assert names_in(tmp_path) == []
