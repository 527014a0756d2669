"""JSON documents as people write them.

One a line, an array of them (indented, on one line, or one a line), or one after the
other: what stands between documents decides nothing. Only one document at a time is in
memory.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import TYPE_CHECKING, Any

from tiffin.errors import SourceError
from tiffin.sources.document_file import ACCEPTED, TruncatedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiffin.sources.document_file import DocumentFile

__all__ = ["JsonFile"]

CHUNK = 2**20
"""Read at once [bytes]."""

GAP = re.compile(r"[\s,\x1e]*")
"""What may stand between documents; 1E is the record separator of RFC 7464."""

ARRAY = re.compile(r'\[\s*(?=[^\s"])')
"""The beginning of an array of documents; a document ``["name", {…}]`` is none."""

OPEN = re.compile(r"\[\s*\Z")
"""What may become either."""

NEAR = 16
"""How far from the end a number or an escape may begin that goes on behind it."""


class JsonFile:
    """Gives what stands in a file, with the line where it begins.

    Parameters
    ----------
    contents : DocumentFile
        Text in UTF-8; UTF-16 and UTF-32 are recognized.

    Raises
    ------
    TruncatedError
        If the file ends within a document.
    SourceError
        If it holds something else than JSON.
    """

    def __init__(self, contents: DocumentFile) -> None:
        self._contents = contents
        encoding = json.detect_encoding(contents.head) if contents.head else "utf-8"
        self._encoding = "utf-8-sig" if encoding == "utf-8" else encoding
        self._decoder = codecs.getincrementaldecoder(self._encoding)()
        self._scan = json.JSONDecoder().raw_decode
        self._text = ""
        self._at = 0
        self._line = 1
        self._counted = 0
        self._ended = False
        self._no_text: UnicodeDecodeError | None = None
        self._in_array = False
        self._by_line = False

    def __iter__(self) -> Iterator[tuple[Any, str]]:
        while self._find():
            where = self._where()
            value, stop = self._value(where)
            inside = self._text.find("\n", self._at, stop) >= 0
            self._by_line = not inside and "\n" in self._text[stop : stop + 3]
            self._at = stop
            yield value, where
        if self._no_text is not None:
            raise self._error(self._where(), self._is_no_text(self._no_text))

    def _find(self) -> bool:
        """Go to where the next document begins; False at the end."""
        while True:
            found = GAP.match(self._text, self._at)
            self._at = found.end() if found else self._at
            rest = self._text[self._at : self._at + 1]
            opened = None if self._in_array else ARRAY.match(self._text, self._at)
            if rest == "]" and self._in_array:
                self._in_array = False
                self._at += 1
            elif opened:
                self._in_array = True
                self._at = opened.end()
            elif rest and (self._in_array or not OPEN.match(self._text, self._at)):
                return True
            elif self._ended:
                # A lone bracket is half a document; with a line of its own, an array.
                return rest != "" and self._text.endswith("[")
            else:
                self._more()

    def _value(self, where: str) -> tuple[Any, int]:
        """Read one document, and as much of the file as it needs."""
        while True:
            try:
                if self._may_be_whole():
                    return self._scan(self._text, self._at)
            except json.JSONDecodeError as error:
                text = self._text
                goes_on = error.msg.startswith("Unterminated string")
                goes_on = goes_on or len(text.rstrip()) - error.pos < NEAR
                if self._ended:
                    raise self._refused(error, where, torn=goes_on) from None
                if not goes_on:
                    raise self._error(
                        where, f"no JSON ({error.msg}); wanted {ACCEPTED}"
                    ) from None
            except RecursionError:
                raise self._error(where, "nested too deeply") from None
            except ValueError as error:  # such as an integer of 5000 digits
                raise self._error(where, str(error)) from None
            if len(self._text) - self._at > self._contents.most:
                message = f"a document of more than {self._contents.most >> 20} MiB"
                raise self._error(where, f"{message}; unpack the file first")
            self._more()

    def _may_be_whole(self) -> bool:
        """Whether to try: where each document has a line, it ends with that."""
        if self._ended or not self._by_line or len(self._text) - self._at > 16 * CHUNK:
            return True
        return self._text.find("\n", self._at) >= 0

    def _refused(
        self, error: json.JSONDecodeError, where: str, *, torn: bool
    ) -> SourceError:
        """Say what is wrong with the last document: it may be half a one."""
        if self._no_text is not None:
            return self._error(where, self._is_no_text(self._no_text))
        begun = self._text[self._at] in "[{"
        if begun and (torn or "\n" not in self._text[self._at :]):
            return TruncatedError(f"{self._contents.path} breaks off in {where}")
        return self._error(where, f"no JSON ({error.msg}); wanted {ACCEPTED}")

    def _more(self) -> None:
        """Read on: as much again as is there, so that nothing is read often."""
        self._count_lines()
        pieces = [self._text[self._at :]]
        wanted = len(pieces[0])
        self._at = self._counted = 0
        while not self._ended:
            pieces.append(self._decoded(self._contents.read(CHUNK)))
            wanted -= len(pieces[-1])
            if wanted < 0:
                break
        self._text = "".join(pieces)

    def _decoded(self, data: bytes) -> str:
        self._ended = not data
        try:
            return self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:  # what stands before is text
            self._ended = True
            if data or not self._contents.torn:
                self._no_text = error
            text = error.object[: error.start].decode(self._encoding)
            return text.removeprefix("\ufeff")

    def _count_lines(self) -> None:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at

    def _where(self) -> str:
        self._count_lines()
        return f"line {self._line}"

    def _is_no_text(self, error: UnicodeDecodeError) -> str:
        return f"no text in {self._encoding} ({error.reason}); wanted {ACCEPTED}"

    def _error(self, where: str, what: str) -> SourceError:
        return SourceError(f"{self._contents.path}, {where}: {what}")
