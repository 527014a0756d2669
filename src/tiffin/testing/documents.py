"""Documents of small runs, composed by event-model itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from event_model import compose_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def run_of(
    data: Mapping[str, Sequence[Any]],
    *,
    stream: str = "primary",
    dtype_numpy: bool = True,
    **metadata: Any,
) -> list[tuple[str, dict[str, Any]]]:
    """Return the documents of a run with one stream.

    Parameters
    ----------
    data : mapping
        Field → values, one for each event. An array of shape (events, rows, columns) is
        a sequence of images.
    stream : str
        The name of the stream.
    dtype_numpy : bool
        Whether the descriptor declares the dtypes of arrays.
    **metadata
        Keys and values of the start document.

    Returns
    -------
    list of (name, document)

    Examples
    --------
    >>> [name for name, doc in run_of({"img": np.zeros((2, 6, 9))}, scan_id=7)]
    ['start', 'descriptor', 'event', 'event', 'stop']
    """
    run = compose_run(metadata=metadata, validate=False)
    bundle = run.compose_descriptor(
        name=stream,
        data_keys={
            name: _data_key(values[0], dtype_numpy=dtype_numpy)
            for name, values in data.items()
        },
        validate=False,
    )
    documents: list[tuple[str, Any]] = [
        ("start", run.start_doc),
        ("descriptor", bundle.descriptor_doc),
    ]
    for values in zip(*data.values(), strict=True):
        named = dict(zip(data, values, strict=True))
        event = bundle.compose_event(
            data=named,
            timestamps=dict.fromkeys(named, run.start_doc["time"]),
            validate=False,
        )
        documents.append(("event", event))
    documents.append(("stop", run.compose_stop(validate=False)))
    return [(name, dict(doc)) for name, doc in documents]


def _data_key(value: Any, *, dtype_numpy: bool) -> dict[str, Any]:
    array = np.asarray(value)
    data_key: dict[str, Any] = {"source": "SIM", "shape": list(array.shape)}
    data_key["dtype"] = "array" if array.ndim else "number"
    if dtype_numpy:
        data_key["dtype_numpy"] = array.dtype.str
    return data_key
