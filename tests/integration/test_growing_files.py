"""Sources that change while they are read: files that grow, servers that end."""

import json

import numpy as np
import pytest

import tiffin
from tiffin.errors import SourceError
from tiffin.sources import documents_in_file, pack
from tiffin.testing import run_of

RUN = run_of({"img": np.arange(4 * 48).reshape(4, 8, 6).astype("u2")}, scan_id=1)


def as_json(item):
    return json.dumps(item, default=np.ndarray.tolist).encode()


WRITTEN = {
    "lines": ([as_json(item) for item in RUN], b"", b"\n", b"\n"),
    "array": ([as_json(item) for item in RUN], b"[\n", b",\n", b"\n]"),
    "msgpack": ([pack(list(item)) for item in RUN], b"", b"", b""),
}


@pytest.fixture(params=WRITTEN)
def written(request):
    """The bytes of a file, and where each document ends in it."""
    documents, begin, between, end = WRITTEN[request.param]
    content, ends = begin, []
    for n, document in enumerate(documents):
        content += (between if n else b"") + document
        ends.append(len(content))
    return content + end, ends


@pytest.mark.parametrize("size", [1, 7, 1000, 100_000])
def test_a_document_is_there_when_its_last_byte_is(tmp_path, written, size):
    """However the writer divides it; none is read by half."""
    content, ends = written
    path = tmp_path / "run"
    first = max(ends[0], size)
    path.write_bytes(content[:first])
    there = first

    def wait_for_more():
        nonlocal there
        if there >= len(content):
            return False
        with path.open("ab") as file:
            file.write(content[there : there + size])
        there += size
        return True

    found = []
    for (name, doc), end in zip(
        documents_in_file(path, wait_for_more=wait_for_more), ends, strict=True
    ):
        found.append((name, doc))
        assert end <= there < max(end, first) + size + 1

    assert [name for name, _ in found] == [name for name, _ in RUN]
    for (_, doc), (_, given) in zip(found, RUN, strict=True):
        if "data" in given:
            np.testing.assert_array_equal(doc["data"]["img"], given["data"]["img"])


def test_a_file_that_ends_too_early_says_so(tmp_path, written):
    """When nobody writes it any more."""
    content, ends = written
    path = tmp_path / "run"
    path.write_bytes(content[: ends[3] - 5])
    documents = documents_in_file(path, wait_for_more=lambda: False)
    with pytest.raises(SourceError, match="breaks off"):
        list(documents)


def test_a_file_that_becomes_shorter_is_not_read_on(tmp_path, written):
    """It is another file now."""
    content, ends = written
    path = tmp_path / "run"
    path.write_bytes(content[: ends[3]])
    documents = documents_in_file(path, wait_for_more=lambda: True)
    for _ in range(4):
        next(documents)
    path.write_bytes(content[: ends[1]])
    with pytest.raises(SourceError, match="has become shorter"):
        next(documents)


def test_a_source_that_ends_while_files_are_written(tmp_path):
    """Such as a server that is killed: the failures have its error."""

    class Source:
        passes = 0

        def __iter__(self):
            self.passes += 1
            yield from RUN[:3]
            if self.passes == 3:  # names are made before
                message = "the server is gone"
                raise SourceError(message)
            yield from RUN[3:]

    report = tiffin.export(
        Source(), "{event.seq_num}.tif", directory=tmp_path, on_error="report"
    )

    assert len(report.written) == 1
    assert [str(record.error) for record in report.failed] == ["the server is gone"] * 3
