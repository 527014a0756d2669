"""Documents of event-model's earlier years, as those of today."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["MIMETYPES", "unpack_bulk_datum", "upgrade_stream_resource"]

HDF5 = "application/x-hdf5"

MIMETYPES = {
    "HDF5": HDF5,
    "AD_HDF5": HDF5,
    "AD_HDF5_SINGLE": HDF5,
    "AD_HDF5_SWMR": HDF5,
    "AD_HDF5_SWMR_STREAM": HDF5,
    "AD_HDF5_SWMR_SLICE": HDF5,
    "AD_HDF5_GERM": HDF5,
    "PIL100k_HDF5": HDF5,
    "XSP": HDF5,
    "XSP3": HDF5,
    "XPS3": HDF5,
    "XSP3_BULK": HDF5,
    "XSP3_STEP": HDF5,
    "PANDA": HDF5,
    "ROI_HDF5_FLY": HDF5,
    "ROI_HDF51_FLY": HDF5,
    "SIS_HDF51_FLY_STREAM_V1": HDF5,
    "MERLIN_FLY_STREAM_V2": HDF5,
    "MERLIN_HDF5_BULK": HDF5,
    "TPX_HDF5": HDF5,
    "EIGER2_STREAM": HDF5,
    "ZEBRA_HDF51_FLY_STREAM_V1": HDF5,
    "AD_TIFF": "multipart/related;type=image/tiff",
    "NPY_SEQ": "multipart/related;type=application/x-npy",
}
"""Spec → mimetype, as bluesky-tiled-plugins has them."""

DATASETS = {
    **dict.fromkeys(
        ("HDF5", "AD_HDF5", "AD_HDF5_SINGLE", "AD_HDF5_SWMR"), "/entry/data/data"
    ),
    **dict.fromkeys(("XSP", "XSP3", "TPX_HDF5"), "/entry/instrument/detector/data"),
}
"""Spec → where the images are, if the document does not say it."""


def unpack_bulk_datum(doc: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Return the datums of a ``bulk_datum``, the layout before datum pages."""
    both = zip(doc["datum_ids"], doc["datum_kwarg_list"], strict=True)
    for datum_id, datum_kwargs in [*both]:
        yield {
            "datum_id": datum_id,
            "resource": doc["resource"],
            "datum_kwargs": datum_kwargs,
        }


def upgrade_stream_resource(doc: Mapping[str, Any]) -> Mapping[str, Any]:
    """See a stream resource from before event-model 1.20 as one with mimetype and URI.

    A spec that is none of `MIMETYPES` takes the mimetype's place: a reader may be
    registered under it, and an error names it.

    Examples
    --------
    >>> older = {"spec": "AD_HDF5", "root": "/data", "resource_path": "a.h5"}
    >>> upgrade_stream_resource({"uid": "u", "data_key": "img", **older})["uri"]
    'file://localhost/data/a.h5'
    """
    if "mimetype" in doc or "spec" not in doc:
        return doc
    spec = str(doc["spec"])
    known = next((s for s in (spec, spec.upper()) if s in MIMETYPES), spec)
    parameters = dict(doc.get("resource_kwargs") or {})
    if known in DATASETS and not parameters.get("path"):
        parameters.setdefault("dataset", DATASETS[known])
    return {
        **doc,
        "mimetype": MIMETYPES.get(known, spec),
        "uri": _uri(doc),
        "parameters": parameters,
    }


def _uri(doc: Mapping[str, Any]) -> str:
    root, path = str(doc.get("root") or ""), str(doc["resource_path"])
    if doc.get("path_semantics") == "windows":
        root, path = root.replace("\\", "/"), path.replace("\\", "/")
    # Joined as databroker joins them: an absolute path stands for itself.
    joined = posixpath.join(root, path)
    return f"file://localhost{'' if joined.startswith('/') else '/'}{joined}"
