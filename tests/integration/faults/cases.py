"""Every system call of the write path, in every way of writing, with every fault."""

import errno
from typing import NamedTuple

ALWAYS = 10**9

UNNAMED = {"kind": "nameless", "errno": errno.EOPNOTSUPP, "times": ALWAYS}
LINKED = {"kind": "link", "errno": errno.EPERM, "times": ALWAYS}


class Way(NamedTuple):
    """A way of writing: settings, what the file system lacks, and the calls made."""

    settings: dict
    lacks: list
    files: tuple
    manifest: tuple = ()


WAYS = {
    "plain": Way(
        {}, [],
        ("stat", "mkdir", "look", "nameless", "write", "link", "close"),
        ("mkdir", "open", "lock", "stat", "look", "read", "write", "close"),
    ),
    "unnamed": Way({}, [UNNAMED], ("open", "write", "link", "unlink", "close")),
    "unlinked": Way({}, [UNNAMED, LINKED], ("open", "write", "rename", "close")),
    "replace": Way({"existing": "replace"}, [], ("open", "write", "rename", "close")),
    "safe": Way(
        {"fsync": "file", "mode": "640", "file_time": "event"}, [],
        ("chmod", "date", "sync", "look"), ("sync",),
    ),
    "run": Way({"fsync": "run"}, [], ("sync", "look")),
    "resume": Way(
        {"existing": "resume"}, [],
        ("stat", "look", "read", "list", "nameless", "link"),
        ("stat", "look", "open", "read", "write"),
    ),
    "sidecar": Way({"profile": "gsas2"}, [], ("nameless", "write", "link", "close")),
}  # fmt: skip

CODES = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EDQUOT)
FULL = (errno.ENOSPC, errno.EDQUOT)

FAULTS = {errno.errorcode[code]: {"does": "fail", "errno": code} for code in CODES}
SLOW = {"slow": {"does": "slow", "seconds": 0.02}}
OF_WRITES = {
    "short": {"does": "part"},
    "short, then ENOSPC": {"does": "part then fail", "errno": errno.ENOSPC},
    "short, then EIO": {"does": "part then fail", "errno": errno.EIO},
}

WHEN = ("first", "middle", "last", "all")


class Case(NamedTuple):
    """One fault: in which way of writing, at which call of which kind."""

    way: str
    kind: str
    where: str
    fault: str
    when: str

    @property
    def code(self):
        return {**FAULTS, **SLOW, **OF_WRITES}[self.fault].get("errno")

    @property
    def must_fail(self):
        """Whether a frame can't have its file, or not as safe as asked."""
        kinds = ("nameless", "open", "write", "link", "rename", "chmod", "sync", "date")
        does = self.code is not None
        return does and self.where == "files" and self.kind in kinds

    def rules(self, seen):
        """Return the rules for the server, where an undisturbed export makes `seen`."""
        count = seen[f"{self.kind} {self.where}"]
        nth = {"first": 1, "middle": (count + 1) // 2, "last": count, "all": 1}
        rule = {
            "kind": self.kind, "where": self.where, "first": nth[self.when],
            "times": ALWAYS if self.when == "all" else 1,
            **{**FAULTS, **SLOW, **OF_WRITES}[self.fault],
        }  # fmt: skip
        if self.fault.startswith("short, "):
            rule["times"] = max(2, rule["times"])
        return [rule, *WAYS[self.way].lacks]


def product():
    """Return every case, and whether it is one of the few that are tried each time.

    Those are one of each kind of call of each way of writing, the faults in turn, and
    every fault of a plain write.
    """
    number = 0
    for name, way in WAYS.items():
        places = [(kind, "files") for kind in way.files]
        places += [(kind, "manifest") for kind in way.manifest]
        for kind, where in places:
            number += 1
            faults = [*FAULTS, *SLOW, *(OF_WRITES if kind == "write" else ())]
            for f, fault in enumerate(faults):
                moments = ("all",) if fault in SLOW else WHEN
                for w, when in enumerate(moments):
                    turn = (number + number // 5) % len(moments) == w
                    mine = number % 5 == f and turn
                    plain = (name, kind) == ("plain", "write") and w == f % len(moments)
                    yield Case(name, kind, where, fault, when), mine or plain
