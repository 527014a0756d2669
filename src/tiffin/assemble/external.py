"""Images that documents only point at: datums, and indices of stream datums."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiffin.assemble.inline import declared_dtype
from tiffin.assemble.run import announced_shape
from tiffin.errors import TiffinError
from tiffin.readers import AssetPixels, Assets, DatumPixels, Handlers, RootMap
from tiffin.readers.assets import opener
from tiffin.readers.handlers import registered

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["External"]


class External:
    """Makes pixels of documents, and owns the files that reading them opens.

    Parameters
    ----------
    roots : RootMap, optional
        For files recorded on another mount.
    """

    def __init__(self, roots: RootMap | None = None) -> None:
        self._handlers = Handlers(roots)
        self._assets = Assets(roots)
        self._seen: dict[str, _Seen] = {}

    def datum(
        self,
        resource: Mapping[str, Any],
        datum: Mapping[str, Any],
        data_key: Mapping[str, Any],
        *,
        colour: bool,
    ) -> DatumPixels | TiffinError:
        """See a datum as pixels; or say that nobody can read its spec."""
        try:
            registered(resource["spec"])
        except TiffinError as error:
            return error
        return DatumPixels(
            handlers=self._handlers,
            resource=resource,
            datum_kwargs=datum["datum_kwargs"],
            shape=announced_shape(data_key),
            dtype=declared_dtype(data_key),
            colour=colour,
        )

    def asset(
        self,
        resource: Mapping[str, Any],
        index: int,
        data_key: Mapping[str, Any],
        *,
        colour: bool,
    ) -> AssetPixels | TiffinError:
        """See one index of a stream resource as pixels; or say that nobody reads it."""
        seen = self._seen.get(resource["uid"])
        if seen is None or seen.resource is not resource or seen.of is not data_key:
            try:
                opener(resource["mimetype"])
            except TiffinError as error:
                return error
            seen = self._seen[resource["uid"]] = _Seen(resource, data_key)
        return AssetPixels(
            assets=self._assets,
            resource=resource,
            index=index,
            shape=seen.shape,
            dtype=seen.dtype,
            datum_shape=seen.datum_shape,
            colour=colour,
        )

    def close(self) -> None:
        """Close the files that are open; what is asked for later opens them anew."""
        self._handlers.close()
        self._assets.close()
        self._seen.clear()


class _Seen:
    """What is the same for all indices of a stream resource."""

    def __init__(
        self, resource: Mapping[str, Any], data_key: Mapping[str, Any]
    ) -> None:
        self.resource, self.of = resource, data_key
        self.shape = announced_shape(data_key)
        self.dtype = declared_dtype(data_key)
        self.datum_shape = _known_shape(data_key)


def _known_shape(data_key: Mapping[str, Any]) -> tuple[int, ...]:
    """Read a data key's shape, 0 for what it does not know; () if it is no image's."""
    shape = data_key.get("shape") or ()
    return tuple(int(n or 0) for n in shape) if len(shape) >= 2 else ()
