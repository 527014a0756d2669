"""Casts: the same numbers, or a refusal."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tiffin
from tiffin.corrections import Cast
from tiffin.dtypes import cast_exactly
from tiffin.errors import DtypeError
from tiffin.testing import run_of

INTEGERS = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"]


@given(
    data=st.data(), source=st.sampled_from(INTEGERS), target=st.sampled_from(INTEGERS)
)
def test_whole_numbers_stay_or_are_refused(data, source, target):
    """No whole number wraps: compared as Python's integers."""
    array = data.draw(hnp.arrays(source, (2, 3)))
    limits = np.iinfo(target)
    fits = all(limits.min <= value <= limits.max for value in array.ravel().tolist())

    if fits:
        assert cast_exactly(array, np.dtype(target)).tolist() == array.tolist()
    else:
        with pytest.raises(DtypeError, match="holds"):
            cast_exactly(array, np.dtype(target))


@given(
    data=st.data(),
    source=st.sampled_from(INTEGERS),
    target=st.sampled_from(["f4", "f8"]),
)
def test_whole_numbers_become_the_same_floats_or_are_refused(data, source, target):
    """No count is rounded: compared as Python's integers."""
    array = data.draw(hnp.arrays(source, (2, 3)))
    try:
        cast = cast_exactly(array, np.dtype(target))
    except DtypeError:
        rounded = [int(value) for value in array.astype(target).ravel().tolist()]
        assert rounded != array.ravel().tolist()
    else:
        assert [int(value) for value in cast.ravel().tolist()] == array.ravel().tolist()


@given(data=st.data(), target=st.sampled_from(INTEGERS))
def test_floats_become_whole_numbers_only_if_they_are(data, target):
    """Fractions, NaN and infinity never become integers."""
    array = data.draw(hnp.arrays("f8", (2, 2)))
    try:
        cast = cast_exactly(array, np.dtype(target))
    except DtypeError:
        limits = np.iinfo(target)
        assert (
            not all(
                float(value).is_integer() and limits.min <= value <= limits.max
                for value in array.ravel()
                if np.isfinite(value)
            )
            or not np.isfinite(array).all()
        )
    else:
        assert [int(v) for v in array.ravel()] == cast.ravel().tolist()


@given(
    data=st.data(),
    source=st.sampled_from(INTEGERS),
    target=st.sampled_from(["f4", "f8"]),
)
def test_what_is_advised_in_place_of_rounding_holds_every_value(data, source, target):
    """Each dtype that the error names; where it names none, there is none."""
    array = data.draw(hnp.arrays(source, (2, 3)))
    refused = refusal(array, target)
    named = re.findall(r"(?:ask for|or) (\w+)", refused or "")

    assert all(refusal(array, name) is None for name in named)
    if refused and not named:
        assert "no dtype that a TIFF holds" in refused
        assert all(refusal(array, name) for name in ("uint32", "int32", "float64"))


def refusal(array, dtype):
    try:
        cast_exactly(array, np.dtype(dtype))
    except DtypeError as error:
        return str(error)
    return None


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_fractions_are_advised_a_dtype_that_keeps_them(dtype):
    """float32 would round those of float64."""
    array = np.array([1 / 3], dtype)

    with pytest.raises(DtypeError, match="fractions") as caught:
        cast_exactly(array, np.dtype("u2"))
    (name,) = re.findall(r"dtype='(\w+)' keeps", str(caught.value))

    assert cast_exactly(array, np.dtype(name)) == array


def test_a_float_too_large_for_float32_is_refused():
    """A finite value never becomes infinity; infinity stays."""
    with pytest.raises(DtypeError, match="1e\\+300: ask for float64"):
        cast_exactly(np.array([1e300]), np.dtype("f4"))

    assert cast_exactly(np.array([np.inf]), np.dtype("f4"))[0] == np.inf


def test_complex_numbers_are_refused():
    """An imaginary part is never dropped."""
    with pytest.raises(DtypeError, match="complex64"):
        cast_exactly(np.zeros((2, 2), "c8"), np.dtype("f4"))


@pytest.mark.parametrize(
    ("pixel", "dtype", "advice", "arguments"),
    [
        (-2, "int32", "dtype='int32'", {"dtype": "int32"}),
        (70_000, "int64", "dtype='uint32'", {"dtype": "uint32"}),
        (-2, "int32", "[Cast('uint16', overflow='clip')]", {"overflow": "clip"}),
        (0.5, "float32", "dtype='float32'", {"dtype": "float32"}),
        (
            0.5,
            "f4",
            "[Cast('uint16', rounding='half-even')]",
            {"rounding": "half-even"},
        ),
    ],
)
def test_a_refusal_says_what_to_write(tmp_path, pixel, dtype, advice, arguments):
    """As an argument of the export, which does it."""
    run = run_of({"img": np.full((1, 2, 2), pixel, dtype)})
    with pytest.raises(DtypeError) as refused:
        tiffin.export(run, "{i}.tif", directory=tmp_path, dtype="uint16")

    assert advice in str(refused.value)
    if "dtype" not in arguments:
        arguments = {"corrections": [Cast("uint16", **arguments)]}
    assert tiffin.export(run, "{i}.tif", directory=tmp_path, **arguments).ok
