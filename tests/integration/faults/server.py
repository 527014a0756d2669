"""Runs exports, each in a process of its own whose system calls it may spoil.

One request, one answer, a line of JSON each. The libraries are loaded once; a child is
forked for each export, and this process, its parent, answers its calls.
"""

import json
import logging
import os
import select
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import tiffin

from . import calls
from .harness import NAME, images, write_documents

LIMIT = 40
"""An export that takes longer hangs [s]."""


class Rule:
    """What becomes of some calls: the n-th of a kind, in one place.

    `where` is "files" (whatever is at the root or below it), "manifest" (the manifests'
    folder and what is in it) or "any". `first` counts from 1; `times` is how many calls
    from there. `does` is "fail" (with `errno`), "part" (of a write, half is done),
    "part then fail" or "slow" (`seconds` each).
    """

    def __init__(self, rule):
        self.kind, self.where = rule["kind"], rule.get("where", "any")
        self.first, self.times = rule.get("first", 1), rule.get("times", 1)
        self.does, self.errno = rule.get("does", "fail"), rule.get("errno", 0)
        self.seconds = rule.get("seconds", 0)
        self.seen = self.hit = 0

    def applies(self, call, where):
        if self.kind != call.kind or self.where not in (where, "any"):
            return False
        self.seen += 1
        mine = self.first <= self.seen < self.first + self.times
        self.hit += mine
        return mine

    def answer(self, call):
        if self.does == "slow":
            time.sleep(self.seconds)
            call.go_on()
        elif self.does == "part" or (self.does == "part then fail" and self.hit % 2):
            call.write_part()
        else:
            call.fail(self.errno)


def place_of(call, root):
    """Tell whether a call acts on files, a manifest, or none of ours."""
    for path in call.paths:
        if path == root or path.startswith(f"{root}/"):
            inside = path[len(root) + 1 :].split("/")[0]
            return "manifest" if inside == ".tiffin" else "files"
    return None


def export(request):
    """Export in a child: by a replay, or live."""
    source, template, settings = (
        request[k] for k in ("source", "template", "settings")
    )
    if not request.get("live"):
        return [tiffin.export(source, template, **settings)], True
    lines = map(json.loads, Path(source).read_text().splitlines())
    documents = [(line["name"], line["doc"]) for line in lines]
    exporter = tiffin.ImageExporter(template, **settings)
    for name, doc in documents:
        exporter(name, doc)
    waited = exporter.wait(LIMIT)
    exporter.close()
    return list(exporter.reports.values()), waited


def told(record):
    error = record.error
    return {
        "status": record.status,
        "path": str(record.path) if record.path else None,
        "seq_num": record.seq_num,
        "error": str(error),
        "errno": getattr(error, "errno", None),
        "kind": type(error).__name__,
    }


def child(request, channel, answer):
    """Be the child: let the parent see the calls, export, tell, end."""
    said = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    logging.getLogger("tiffin").addHandler(handler)
    outcome = {"said": said, "raised": None, "records": [], "waited": False}
    try:
        listener = calls.watch({n for k in request["kinds"] for n in calls.KINDS[k]})
        socket.send_fds(channel, [b"!"], [listener])
        os.close(listener)
        reports, outcome["waited"] = export(request)
        outcome["records"] = [told(r) for report in reports for r in report.records]
    except BaseException:  # noqa: BLE001 (told to who asked)
        outcome["raised"] = traceback.format_exc()
    Path(answer).write_text(json.dumps(outcome))
    os._exit(0)


def supervise(pid, listener, request):
    """Answer the calls of a child until it ends; return what was seen and done."""
    rules = [Rule(rule) for rule in request["rules"]]
    root, seen = request["settings"]["directory"], Counter()
    process = calls.Child(pid)
    poll = select.poll()
    poll.register(process.ends, select.POLLIN)
    poll.register(listener, select.POLLIN)
    deadline, ended = time.monotonic() + LIMIT, False
    while not ended and (left := deadline - time.monotonic()) > 0:
        ready = dict(poll.poll(left * 1000))
        ended = process.ends in ready
        if ready.get(listener, 0) & select.POLLIN:
            call = process.next_call(listener)
            if call is not None:
                decide(call, rules, place_of(call, root), seen)
    if not ended:
        os.kill(pid, signal.SIGKILL)
    process.close()
    return {"ended": ended, "seen": seen, "hit": [rule.hit for rule in rules]}


def decide(call, rules, where, seen):
    if where is None:
        call.go_on()
        return
    seen[f"{call.kind} {where}"] += 1
    for rule in rules:
        if rule.applies(call, where):
            rule.answer(call)
            return
    call.go_on()


def serve(request):
    ours, theirs = socket.socketpair()
    with tempfile.NamedTemporaryFile() as answer, ours, theirs:
        pid = os.fork()
        if not pid:
            child(request, theirs, answer.name)
        theirs.close()
        _, listeners, _, _ = socket.recv_fds(ours, 1, 1)
        seen = {}
        for listener in listeners:  # one, or none where the system lets none be
            seen = supervise(pid, listener, request)
            os.close(listener)
        _, status = os.waitpid(pid, 0)
        text = Path(answer.name).read_text()
    return {"status": status, **seen, **(json.loads(text) if text else {})}


def load_libraries():
    """Export a little: what tiffin imports only then, no child imports again."""
    ways = ({}, {"stack": "run", "profile": "ome"}, {"sidecars": "frames.csv"})
    with tempfile.TemporaryDirectory() as folder:
        source = write_documents(Path(folder, "run.jsonl"), images(1))
        for n, settings in enumerate(ways):
            for live in ("", "live"):
                settings["directory"] = f"{folder}/{n}{live}"
                export(
                    {"source": source, "template": NAME, "live": live,
                     "settings": settings}
                )  # fmt: skip


def main():
    load_libraries()
    for line in sys.stdin:
        request = json.loads(line)
        request["kinds"] = request.get("kinds") or [r["kind"] for r in request["rules"]]
        print(json.dumps(serve(request)), flush=True)  # noqa: T201 (its protocol)


if __name__ == "__main__":
    main()
