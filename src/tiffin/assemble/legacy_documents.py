"""Unpack pages, and convert documents of early event-model versions."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

from event_model import unpack_datum_page, unpack_event_page

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


HDF5 = "application/x-hdf5"

HDF5_SPECS = (
    "HDF5", "AD_HDF5", "AD_HDF5_SINGLE", "AD_HDF5_SWMR", "AD_HDF5_SWMR_STREAM",
    "AD_HDF5_SWMR_SLICE", "AD_HDF5_GERM", "PIL100k_HDF5", "XSP", "XSP3", "XPS3",
    "XSP3_BULK", "XSP3_STEP", "PANDA", "ROI_HDF5_FLY", "ROI_HDF51_FLY",
    "SIS_HDF51_FLY_STREAM_V1", "MERLIN_FLY_STREAM_V2", "MERLIN_HDF5_BULK", "TPX_HDF5",
    "EIGER2_STREAM", "ZEBRA_HDF51_FLY_STREAM_V1",
)  # fmt: skip

MIMETYPES = {
    **dict.fromkeys(HDF5_SPECS, HDF5),
    "AD_TIFF": "multipart/related;type=image/tiff",
    "NPY_SEQ": "multipart/related;type=application/x-npy",
}
"""Spec → mimetype, as in bluesky-tiled-plugins."""

DATASETS = {
    **dict.fromkeys(
        ("HDF5", "AD_HDF5", "AD_HDF5_SINGLE", "AD_HDF5_SWMR"), "/entry/data/data"
    ),
    **dict.fromkeys(("XSP", "XSP3", "TPX_HDF5"), "/entry/instrument/detector/data"),
}
"""Spec → the dataset to read if the document names none."""


def unpack(name: str, doc: Any) -> Iterator[Any]:
    """Yield the datums or events of a page, and of what was used before pages."""
    if name == "datum_page":
        yield from unpack_datum_page(doc)
    elif name == "event_page":
        yield from unpack_event_page(doc)
    elif name == "bulk_events":
        for events in doc.values():
            yield from events
    elif name == "bulk_datum":
        pairs = [*zip(doc["datum_ids"], doc["datum_kwarg_list"], strict=True)]
        for uid, kwargs in pairs:
            yield {"datum_id": uid, "resource": doc["resource"], "datum_kwargs": kwargs}
    else:
        yield doc


def upgrade_stream_resource(doc: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add mimetype and URI to a stream resource from before event-model 1.20.

    An unknown spec is used as the mimetype: a reader may be registered under it.

    Examples
    --------
    >>> legacy = {"spec": "AD_HDF5", "root": "/data", "resource_path": "a.h5"}
    >>> upgrade_stream_resource({"uid": "u", "data_key": "img", **legacy})["uri"]
    'file://localhost/data/a.h5'
    """
    if "mimetype" in doc or "spec" not in doc:
        return doc
    spec = str(doc["spec"])
    spec = next((s for s in (spec, spec.upper()) if s in MIMETYPES), spec)
    parameters = dict(doc.get("resource_kwargs") or {})
    if spec in DATASETS and not parameters.get("path"):
        parameters.setdefault("dataset", DATASETS[spec])
    return {
        **doc,
        "mimetype": MIMETYPES.get(spec, spec),
        "uri": _uri(doc),
        "parameters": parameters,
    }


def _uri(doc: Mapping[str, Any]) -> str:
    root, path = str(doc.get("root") or ""), str(doc["resource_path"])
    if doc.get("path_semantics") == "windows":
        root, path = root.replace("\\", "/"), path.replace("\\", "/")
    joined = posixpath.join(root, path)  # an absolute path ignores the root
    return f"file://localhost{'' if joined.startswith('/') else '/'}{joined}"
