"""System calls of a process, seen and answered by another: seccomp's notifications.

A filter in the child stops each call of some kinds until its parent has said what
becomes of it (seccomp_unotify(2)): it goes on, or fails with an errno, or, of a write,
a part is done. No compiler, no library, no debugger is needed, and all libraries and
threads of the child are caught, whatever way they call the system.
"""

import ctypes
import errno
import fcntl
import os
import platform
import struct

NUMBERS = {
    "x86_64": {
        "read": 0, "write": 1, "open": 2, "close": 3, "stat": 4, "lstat": 6,
        "pread64": 17, "pwrite64": 18, "writev": 20, "flock": 73, "fsync": 74,
        "fdatasync": 75, "ftruncate": 77, "rename": 82, "mkdir": 83, "rmdir": 84,
        "link": 86, "unlink": 87, "fchmod": 91, "getdents64": 217, "openat": 257,
        "mkdirat": 258, "newfstatat": 262, "unlinkat": 263, "renameat": 264,
        "linkat": 265, "utimensat": 280, "pwritev": 296, "renameat2": 316,
    },
    "aarch64": {
        "flock": 32, "mkdirat": 34, "unlinkat": 35, "linkat": 37, "renameat": 38,
        "ftruncate": 46, "fchmod": 52, "openat": 56, "close": 57, "getdents64": 61,
        "read": 63, "write": 64, "writev": 66, "pread64": 67, "pwrite64": 68,
        "pwritev": 70, "newfstatat": 79, "fsync": 82, "fdatasync": 83, "utimensat": 88,
        "renameat2": 276,
    },
}.get(platform.machine(), {})  # fmt: skip
"""Numbers of Linux's system calls (asm/unistd.h)."""

SECCOMP = {"x86_64": 317, "aarch64": 277}.get(platform.machine())
PIDFD_GETFD = 438
NAMES = {number: name for name, number in NUMBERS.items()}

KINDS = {
    "read": ("read", "pread64"),
    "write": ("write", "writev", "pwrite64", "pwritev"),
    "close": ("close",),
    "stat": ("stat", "lstat", "newfstatat"),
    "list": ("getdents64",),
    "lock": ("flock",),
    "sync": ("fsync", "fdatasync"),
    "cut": ("ftruncate",),
    "chmod": ("fchmod",),
    "date": ("utimensat",),
    "mkdir": ("mkdir", "mkdirat"),
    "unlink": ("unlink", "unlinkat", "rmdir"),
    "link": ("link", "linkat"),
    "rename": ("rename", "renameat", "renameat2"),
    "look": ("open", "openat"),
    "nameless": ("open", "openat"),
    "open": ("open", "openat"),
}
"""Kind → system calls. Of openings, those to read are `look`, those of a file without a
name (O_TMPFILE) are `nameless`, and others are `open`."""

KIND_OF = {name: kind for kind, names in KINDS.items() for name in names}

# How each call tells what it acts on: a descriptor, a path, a folder's descriptor and
# a path, or two of these.
DESCRIPTOR = {
    "read", "pread64", "write", "pwrite64", "writev", "pwritev", "close", "flock",
    "fsync", "fdatasync", "ftruncate", "fchmod", "getdents64",
    "utimensat",
}  # fmt: skip
TWO = {"link", "rename", "linkat", "renameat", "renameat2"}

_NAMELESS = getattr(os, "O_TMPFILE", 0) & ~os.O_DIRECTORY
_HERE = 0xFFFFFF9C  # AT_FDCWD

# linux/seccomp.h: sizes and requests of the notifications
_ASKED, _ANSWER = struct.Struct("=QII iIQ6Q"), struct.Struct("=QqiI")
_RECEIVE = 3 << 30 | _ASKED.size << 16 | 0x21 << 8
_SEND = 3 << 30 | _ANSWER.size << 16 | 0x21 << 8 | 1
_GO_ON = 1


def watch(names):
    """Stop these calls of this thread, and of those it starts, until answered.

    Gives the descriptor that the notifications come from.
    """
    load, equal, give = 0x20, 0x15, 0x06  # linux/filter.h
    program = [(load, 0, 0, 0)]
    for name in names:
        if name in NUMBERS:
            ask = (give, 0, 0, 0x7FC00000)  # SECCOMP_RET_USER_NOTIF
            program += [(equal, 0, 1, NUMBERS[name]), ask]
    program.append((give, 0, 0, 0x7FFF0000))  # SECCOMP_RET_ALLOW
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    held = ctypes.create_string_buffer(code)
    filter_ = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(held))
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    listener = library.syscall(SECCOMP, 1, 8, filter_)  # a filter, with a listener
    if listener < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return listener


class Call:
    """One call that waits for an answer."""

    def __init__(self, child, listener, asked):
        self._child, self._listener = child, listener
        self._id, _, _, number, _, _, *self.arguments = _ASKED.unpack(asked)
        self.name = NAMES[number]
        self.paths = self._paths()

    @property
    def kind(self):
        kind = KIND_OF[self.name]
        if kind != "open":
            return kind
        flags = self.arguments[1 if self.name == "open" else 2]
        if flags & _NAMELESS:
            return "nameless"
        return "open" if flags & (os.O_WRONLY | os.O_RDWR) else "look"

    def go_on(self):
        self._answer(flags=_GO_ON)

    def fail(self, code):
        self._answer(error=-code)

    def write_part(self):
        """Write the first half, and tell so."""
        data = self._data()
        part = data[: max(1, len(data) // 2)]
        descriptor = self._child.descriptor(self.arguments[0] & 0xFFFFFFFF)
        try:
            if self.name == "pwrite64":
                done = os.pwrite(descriptor, part, self.arguments[3])
            else:
                done = os.write(descriptor, part)
            self._answer(value=done)
        finally:
            os.close(descriptor)

    def _answer(self, *, value=0, error=0, flags=0):
        try:
            answer = _ANSWER.pack(self._id, value, error, flags)
            fcntl.ioctl(self._listener, _SEND, answer)
        except FileNotFoundError:
            pass  # its thread is gone, or was interrupted and asks again

    def _paths(self):
        first, second, third, fourth = self.arguments[:4]
        child = self._child
        if self.name in DESCRIPTOR:
            return [child.path_of(first & 0xFFFFFFFF)]
        if self.name in ("link", "rename"):
            return [child.path(_HERE, first), child.path(_HERE, second)]
        if self.name in TWO:
            return [child.path(first, second), child.path(third, fourth)]
        if self.name.endswith("at"):
            return [child.path(first, second)]
        return [child.path(_HERE, first)]

    def _data(self):
        _, address, size = self.arguments[:3]
        if "v" not in self.name:
            return self._child.bytes_at(address, size)
        vectors = struct.iter_unpack("QQ", self._child.bytes_at(address, 16 * size))
        return b"".join(self._child.bytes_at(*vector) for vector in vectors)


class Child:
    """A process whose calls are answered: its memory and descriptors."""

    def __init__(self, pid):
        self._pid = pid
        self.ends = os.pidfd_open(pid)
        self._memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)

    def close(self):
        os.close(self.ends)
        os.close(self._memory)

    def next_call(self, listener):
        """Return the call that waits, or None if its thread is gone."""
        asked = bytearray(_ASKED.size)
        try:
            fcntl.ioctl(listener, _RECEIVE, asked, True)
        except FileNotFoundError:
            return None
        return Call(self, listener, asked)

    def bytes_at(self, address, size):
        return os.pread(self._memory, size, address) if size else b""

    def path(self, folder, address):
        """Read a path, make it absolute."""
        text = b""
        while b"\0" not in text:
            at = address + len(text)
            text += os.pread(self._memory, 4096 - at % 4096, at)
        path = os.fsdecode(text.partition(b"\0")[0])
        if path.startswith("/"):
            return path
        folder &= 0xFFFFFFFF
        above = self._link("cwd") if folder == _HERE else self.path_of(folder)
        return f"{above}/{path}" if path else above

    def path_of(self, descriptor):
        return self._link(f"fd/{descriptor}")

    def descriptor(self, number):
        """Return a descriptor of our own for what one of the child's refers to."""
        library = ctypes.CDLL(None, use_errno=True)
        found = library.syscall(PIDFD_GETFD, self.ends, number, 0)
        if found < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return found

    def _link(self, what):
        try:
            return os.readlink(f"/proc/{self._pid}/{what}")  # noqa: PTH115
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            return ""
