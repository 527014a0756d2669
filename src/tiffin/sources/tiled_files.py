"""The files behind an array that Tiled only points at, as stream resources.

Tiled keeps which files these are, and in what order, but not where each begins: that is
found by looking into them.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from tiffin.errors import ReadError, TiffinError
from tiffin.readers import Asset, RootMap, Rows, find_reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["ExternalFiles", "FileField", "external_files"]

SAMPLES = (3, 4)
"""How many values a pixel of colour has."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look into a file tells: whether it is colour, and an event's rows."""

    colour: bool
    rows_an_event: int
    """0 if that can't be told."""
    more: bool
    """Whether the file holds more than Tiled tells of."""


@dataclass(frozen=True, kw_only=True)
class ExternalFiles:
    """The files of one field.

    Attributes
    ----------
    mimetype : str
    uris : list of str
        In order.
    parameters : mapping
    shape : tuple of int
        Of an event: (rows, columns), or with leading axes.
    events : int
        How many Tiled tells of.
    roots : RootMap
    """

    mimetype: str
    uris: list[str]
    parameters: Mapping[str, Any]
    shape: tuple[int, ...]
    events: int
    roots: RootMap

    @property
    def is_sequence(self) -> bool:
        """Whether each file is an image, or a few pages of a series."""
        return "multipart" in self.mimetype.lower()

    @cached_property
    def seen(self) -> Seen | None:
        """What the first file tells; None if it can't be read here."""
        try:
            with self._open(self.uris[0]) as rows:
                held = math.prod(rows.row_shape(0)[: -3 if rows.colour else -2])
                rows_an_event, rest = divmod(math.prod(self.shape[:-2]), held)
                count = 0 if rest else rows_an_event
                more = (
                    not self.is_sequence and count and _has(rows, self.events * count)
                )
                return Seen(bool(rows.colour), count, bool(more))
        except (Exception, SystemExit):  # noqa: BLE001 (a reader may be a plug-in)
            return None

    @property
    def may_be_colour(self) -> bool:
        """Whether the images may be colour, which the server gives scrambled.

        A file of colour has its samples last, whatever the descriptor says, and the
        server only reshapes what it reads. Where the file can't be looked into, one
        that holds three or four planes of an event is suspected.
        """
        if "image/" not in self.mimetype or len(self.shape) < 3:
            return False
        if self.seen is not None:
            return self.seen.colour
        planes = math.prod(self.shape[:-2]) * self.events
        several = planes > len(self.uris)
        return self.shape[-1] in SAMPLES or (several and self.shape[-3] in SAMPLES)

    @property
    def told_by_file(self) -> dict[str, Any]:
        """What the files tell of an event, as a data key does."""
        shape, dims = [*self.shape], {}
        if self.seen is not None and self.seen.colour and len(shape) > 2:
            if shape[-1] not in SAMPLES:  # announced first, and stored last
                shape = [*shape[:-3], *shape[-2:], shape[-3]]
            lead = [f"axis_{n}" for n in range(len(shape) - 3)]
            dims = {"dims": [*lead, "y", "x", "rgb"]}
        return {"shape": shape, "external": "STREAM:", **dims}

    def field(self, uid: str, key: str) -> FileField:
        """Make stream resources of the files.

        Raises
        ------
        ReadError
            If they can't be told to be the events that Tiled tells of.
        """
        resource = {"data_key": key, "mimetype": self.mimetype}
        if self.is_sequence or len(self.uris) == 1:
            parameters = {**self.parameters}
            if self.is_sequence:
                files = self._files_an_event(key)
                parameters |= {"uris": self.uris, "files_per_datum": files}
            only = {"uid": uid, "uri": self.uris[0], "parameters": parameters}
            return FileField([{**resource, **only}], [0, self.events])
        counts = [self._events_in(uri) for uri in self.uris]
        if sum(counts) != self.events:
            message = (
                f"the files of {key!r} hold {' + '.join(map(str, counts))} events, "
                f"Tiled tells of {self.events}"
            )
            raise ReadError(message)
        each = [
            {**resource, "uid": f"{uid}/{n}", "uri": uri, "parameters": self.parameters}
            for n, uri in enumerate(self.uris)
        ]
        return FileField(each, [0, *accumulate(counts)])

    def _files_an_event(self, key: str) -> int:
        files, rest = divmod(len(self.uris), max(self.events, 1))
        if rest or not files:
            message = (
                f"Tiled lists {len(self.uris)} file(s) of {key!r} for {self.events} "
                f"event(s), and does not keep which"
            )
            raise ReadError(message)
        return files

    def _events_in(self, uri: str) -> int:
        rows_an_event = self.seen.rows_an_event if self.seen else 0
        if not rows_an_event:
            message = (
                f"{self.uris[0]} does not tell how many of its rows are an event's"
            )
            raise ReadError(message)
        most = self.events * rows_an_event + 1
        with self._open(uri) as rows:
            found = bisect_left(range(most), 1, key=lambda row: not _has(rows, row))
        events, rest = divmod(found, rows_an_event)
        return events + bool(rest)  # which is one too many, and found out

    @contextmanager
    def _open(self, uri: str) -> Iterator[Rows]:
        parameters = {**self.parameters, "uris": [uri]} if self.is_sequence else None
        asset = Asset(
            mimetype=self.mimetype,
            uri=uri,
            path=self.roots.locate(uri),
            parameters=parameters or self.parameters,
            datum_shape=self.shape,
            locate=self.roots.locate,
            allow_external=self.roots.allow_external,
        )
        rows = find_reader(self.mimetype)(asset)
        try:
            yield rows
        finally:
            rows.close()


class FileField:
    """One field of a stream, in files.

    Parameters
    ----------
    resources : list of dict
        Stream resources, each of which counts its events from its own start.
    bounds : list of int
        The event that each begins with, and the end.
    """

    def __init__(self, resources: list[dict[str, Any]], bounds: list[int]) -> None:
        self.resources = resources
        self._bounds = bounds

    def datum(
        self, k: int, seq_num: int, descriptor: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Return the stream datum of event k, from 0; None behind the end."""
        if k >= self._bounds[-1]:
            return None
        n = next(n for n, stop in enumerate(self._bounds[1:]) if k < stop)
        uid, index = self.resources[n]["uid"], k - self._bounds[n]
        return {
            "uid": f"{uid}/{index}",
            "stream_resource": uid,
            "descriptor": descriptor["uid"],
            "indices": {"start": index, "stop": index + 1},
            "seq_nums": {"start": seq_num, "stop": seq_num + 1},
        }


def external_files(
    sources: Any, shape: tuple[int, ...], events: int, roots: RootMap
) -> ExternalFiles | None:
    """Find the files behind an array; None if the server holds it itself."""
    (source, *_) = sources or [None]
    if source is None or not source.assets or source.management != "external":
        return None
    assets = sorted(source.assets, key=lambda asset: asset.num or 0)
    return ExternalFiles(
        mimetype=source.mimetype,
        uris=[_mended(asset.data_uri, roots) for asset in assets],
        parameters=dict(source.parameters or {}),
        shape=shape,
        events=events,
        roots=roots,
    )


def _has(rows: Rows, row: int) -> bool:
    try:
        rows.row_shape(row)
    except TiffinError:
        return False
    return True


def _is_here(uri: str, roots: RootMap) -> bool:
    try:
        return roots.locate(uri).exists()
    except TiffinError:
        return False


def _mended(uri: str, roots: RootMap) -> str:
    """Put the '/' back that is lost where a resource path had none at its end."""
    if _is_here(uri, roots):
        return uri
    head, _, name = uri.rpartition("/")
    for cut in range(1, len(name)):
        mended = f"{head}/{name[:cut]}/{name[cut:]}"
        if _is_here(mended, roots):
            return mended
    return uri
