"""Images as arrays, and documents for any callback."""

import gc
import json

import msgpack
import numpy as np
import pytest
from bluesky.plans import count

from tests.stores import LIBRARIES_WARN
from tiffin import ImageExporter, get_images, process
from tiffin.errors import FieldError, ReadError, SettingsError, SourceError
from tiffin.testing import run_of

pytestmark = LIBRARIES_WARN


def test_get_images_gives_arrays_of_ones_own():
    """S30: writing into them changes neither documents nor later exports."""
    run = run_of({"img": np.ones((2, 6, 9), "u2")})
    images = get_images(run, "img")

    images[0][:] = 99

    np.testing.assert_array_equal(images[0], np.ones((6, 9)))
    np.testing.assert_array_equal(run[2][1]["data"]["img"], np.ones((6, 9)))


def test_a_field_that_a_run_lacks_is_all_that_is_said(RE, broker, img, capsys):
    """S17: no traceback of a store's generator follows the error."""
    RE.subscribe(broker.v1.insert)
    (uid,) = RE(count([img], 2))

    with pytest.raises(FieldError, match="imgg"):
        get_images(broker[uid], "imgg")
    gc.collect()

    assert capsys.readouterr().err == ""


def test_what_a_store_raises_is_a_read_error():
    """Whatever a lazy image raises when it is read."""

    class Broken:
        shape, dtype, ndim = (6, 9), np.dtype("u2"), 2

        def __array__(self, *args, **kwargs):
            raise ConnectionResetError("the server went away")

    run = run_of({"img": np.ones((1, 6, 9), "u2")})
    run[2][1]["data"]["img"] = Broken()

    with pytest.raises(ReadError, match=r"image 0 can't be read: .*went away"):
        get_images(run, "img")[0]


@pytest.mark.parametrize("field", [None, ["img"], 3])
def test_get_images_is_of_one_field(field):
    """Arrays of several fields could not be told apart."""
    with pytest.raises(SettingsError, match="name of one field"):
        get_images(run_of({"img": np.ones((2, 6, 9), "u2")}), field)


@pytest.mark.parametrize("callback", [None, 3, "exporter"])
def test_process_wants_what_can_be_called(callback):
    """The error comes before the source is opened."""
    with pytest.raises(SettingsError, match=r"a function of \(name, document\)"):
        process(run_of({"x": [1]}), callback)


@pytest.mark.parametrize("kind", ["jsonl", "msgpack"])
def test_what_came_before_a_source_broke_off_is_exported(tmp_path, kind):
    """`process` raises only after the exporter has written what it got."""
    path = tmp_path / f"run.{kind}"
    run = run_of({"img": np.ones((3, 6, 9), "u2").tolist()}, dtype_numpy=False)
    if kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, run)))
    else:
        path.write_bytes(b"".join(map(msgpack.packb, run)))
    path.write_bytes(path.read_bytes()[:-300])
    exporter = ImageExporter("{event.seq_num}.tif", directory=tmp_path / "out")

    with pytest.raises(SourceError):
        process(path, exporter)

    (report,) = exporter.reports.values()
    assert len(report.written) == len(list((tmp_path / "out").glob("*.tif"))) > 0
    exporter.close()
