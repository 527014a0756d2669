"""JSON documents as people write them.

One a line, an array of them (indented, on one line, or one a line), or one after the
other: what stands between documents does not matter. Only one document at a time is in
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

CHUNK = 2**21
"""How much is read at once [bytes]."""

GAP = re.compile(r"[\s,\x1e]*")
"""What may stand between documents; 1E is the record separator of RFC 7464."""

ARRAY = re.compile(r'\[\s*(?=[^\s"])')
"""The beginning of an array of documents, which ``["name", {…}]`` is not."""

UNDECIDED = re.compile(r"\[\s*\Z")
"""The beginning of an array or of a document."""

NEAR_END = 16
"""An error so near to the end may be a number or an escape that is cut off."""


class JsonReader:
    """Iterates over the (value, place) of a file in UTF-8, UTF-16 or UTF-32."""

    def __init__(self, file: DocumentFile) -> None:
        self._file = file
        encoding = json.detect_encoding(file.head) if file.head else "utf-8"
        self._encoding = "utf-8-sig" if encoding == "utf-8" else encoding
        self._decoder = codecs.getincrementaldecoder(self._encoding)()
        self._decode = json.JSONDecoder().raw_decode
        self._text = ""
        self._at = 0
        self._ended = False
        self._not_text: str | None = None
        self._line = 1
        self._counted = 0
        self._in_array = False

    def __iter__(self) -> Iterator[tuple[Any, str]]:
        while self._find():
            where = self._where()
            value, self._at = self._value(where)
            yield value, where
        if self._not_text is not None:
            raise self._error(self._where(), self._not_text)

    def _find(self) -> bool:
        """Go to the beginning of the next document; return False at the end."""
        while True:
            gap = GAP.match(self._text, self._at)
            self._at = gap.end() if gap else self._at
            rest = self._text[self._at : self._at + 1]
            array = None if self._in_array else ARRAY.match(self._text, self._at)
            if rest == "]" and self._in_array:
                self._in_array = False
                self._at += 1
            elif array:
                self._in_array = True
                self._at = array.end()
            elif rest and (self._in_array or not UNDECIDED.match(self._text, self._at)):
                return True
            elif self._ended:
                # "[" alone is a truncated document; after a line break, an array.
                return rest != "" and self._text.endswith("[")
            else:
                self._read_more()

    def _value(self, where: str) -> tuple[Any, int]:
        """Decode one document; return it and its end."""
        while True:
            try:
                return self._decode(self._text, self._at)
            except json.JSONDecodeError as error:
                self._check_incomplete(error, where)
            except RecursionError:
                raise self._error(where, "nested too deeply") from None
            except ValueError as error:  # such as an integer of 5000 digits
                raise self._error(where, str(error)) from None
            if len(self._text) - self._at > self._file.max_document:
                message = f"a document of more than {self._file.max_document >> 20} MiB"
                raise self._error(where, f"{message}; decompress the file first")
            self._read_more()

    def _check_incomplete(self, error: json.JSONDecodeError, where: str) -> None:
        """Raise unless what is wrong with a document may be that its end is missing."""
        text = self._text
        incomplete = error.msg.startswith("Unterminated string")
        incomplete = incomplete or len(text.rstrip()) - error.pos < NEAR_END
        if incomplete and not self._ended:
            return
        if self._ended and self._not_text is not None:
            raise self._error(where, self._not_text) from None
        incomplete = incomplete or "\n" not in text[self._at :]
        if self._ended and incomplete and text[self._at] in "[{":
            message = f"{self._file.path} breaks off in {where}"
            raise TruncatedError(message) from None
        raise self._error(
            where, f"not JSON ({error.msg}); expected {ACCEPTED}"
        ) from None

    def _read_more(self) -> None:
        """Double the text that is there, so that nothing is decoded often.

        Of a file that is being written, take what there is.
        """
        self._where()
        pieces = [self._text[self._at :]]
        missing = len(pieces[0])
        self._at = self._counted = 0
        while not self._ended and missing >= 0:
            pieces.append(self._as_text(self._file.read(CHUNK)))
            missing -= len(pieces[-1])
            if self._file.waits:
                break
        self._text = "".join(pieces)

    def _as_text(self, data: bytes) -> str:
        self._ended = not data
        try:
            return self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            self._ended = True
            if data or not self._file.truncated:
                name, reason = self._encoding, error.reason
                self._not_text = f"not text in {name} ({reason}); expected {ACCEPTED}"
            text = error.object[: error.start].decode(self._encoding)
            return text.removeprefix("\ufeff")

    def _where(self) -> str:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return f"line {self._line}"

    def _error(self, where: str, what: str) -> SourceError:
        return SourceError(f"{self._file.path}, {where}: {what}")
