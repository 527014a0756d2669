"""Averages and sums of frames, in a dtype known beforehand."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.rounding import is_near
from tiffin.corrections import Average, Bin, Sum
from tiffin.corrections.arithmetic import RunningSum
from tiffin.dtypes import FLOAT_DTYPES, INTEGER_DTYPES
from tiffin.errors import CorrectionError, DtypeError, SettingsError

SMALL = ["?", "u1", "u2", "u4", "i1", "i2", "i4"]
WIDE = ["u8", "i8"]
FLOATS = ["f2", "f4", "f8"]
SHAPE = (2, 3)


@st.composite
def frames(draw, dtypes, *, wild=False):
    """Some frames of one dtype, in either byte order, at times not contiguous."""
    dtype = draw(st.sampled_from(dtypes))
    elements = None
    if dtype in FLOATS and not wild:
        elements = st.builds(
            lambda n, d, k: float(np.dtype(dtype).type(n / d * 2.0**k)),
            st.integers(-(2**15), 2**15),
            st.sampled_from([1, 2, 3, 10]),
            st.integers(-4, 0),
        )
    elif dtype in FLOATS:
        width = int(dtype[1]) * 8
        elements = st.floats(width=width, allow_nan=False, allow_infinity=False)
    order = draw(st.sampled_from("<>"))
    count = draw(st.integers(1, 9))
    arrays = hnp.arrays(dtype, SHAPE, elements=elements)
    drawn = [
        draw(arrays).astype(np.dtype(dtype).newbyteorder(order)) for _ in range(count)
    ]
    return [np.asfortranarray(frame) for frame in drawn]


def pixels_of(images):
    """Return each pixel's values as fractions."""
    return [
        [Fraction(image[at].item()) for image in images] for at in np.ndindex(SHAPE)
    ]


@given(images=frames(SMALL + WIDE + FLOATS))
def test_an_average_is_the_mean(images):
    """As float32 where that holds every value of the dtype, else as float64."""
    if any(
        abs(v) > 2**53 and images[0].dtype.kind != "f"
        for p in pixels_of(images)
        for v in p
    ):
        with pytest.raises(DtypeError, match="beyond 2"):
            Average().join(images)
        return
    result = Average().join(images)

    of = images[0].dtype
    narrow = of.itemsize <= 2 or (of.kind, of.itemsize) == ("f", 4)
    assert result.dtype == ("f4" if narrow else "f8")
    for got, p in zip(result.ravel(), pixels_of(images), strict=True):
        assert is_near(got, sum(p) / len(p), result.dtype, p)


@given(images=frames(SMALL))
def test_a_sum_of_whole_numbers_is_exact(images):
    """In a dtype that a TIFF holds, whatever the values are."""
    result = Sum().join(images)

    assert result.dtype in [np.dtype(name) for name in (*INTEGER_DTYPES, *FLOAT_DTYPES)]
    assert [Fraction(v) for v in result.ravel().tolist()] == [
        sum(p) for p in pixels_of(images)
    ]


@given(images=frames(FLOATS))
def test_a_sum_of_floats_is_the_sum(images):
    """As float64."""
    result = Sum().join(images)

    assert result.dtype == np.float64
    for got, p in zip(result.ravel(), pixels_of(images), strict=True):
        assert is_near(got, sum(p), result.dtype, p)


@given(images=frames(["f8"], wild=True))
def test_numbers_of_wild_sizes_are_added_in_float64(images):
    """Or refused, where float64 can't hold a sum on the way; never wrong by more."""
    pixels = pixels_of(images)
    if any(sum(map(abs, p)) >= 2**1023 for p in pixels):
        return

    result = Sum().join(images)

    for got, values in zip(result.ravel().tolist(), pixels, strict=True):
        assert is_near(got, sum(values), "f8", values, len(values))


@pytest.mark.parametrize("step", [Average(), Sum()])
def test_nan_and_infinity_go_on(step):
    """One NaN among the frames is NaN; infinities of both signs are."""
    inf = math.inf
    first = np.array([[math.nan, inf, inf, 1.0]])
    second = np.array([[1.0, 1.0, -inf, 3.0]])

    result = step.join([first, second, second])

    assert np.isnan(result[0, [0, 2]]).all()
    assert result[0, 1] == inf
    assert result[0, 3] == (7 if isinstance(step, Sum) else 7 / 3)


@pytest.mark.parametrize("step", [Average(), Sum()])
def test_a_sum_that_float64_can_not_hold_is_refused(step):
    """It is no infinity."""
    with pytest.raises(DtypeError, match="float64 can't hold the sum of 2 values"):
        step.join([np.array([[1e308]])] * 2)


@pytest.mark.parametrize(
    ("dtype", "count", "wanted"),
    [
        ("?", 255, "u1"),
        ("u1", 1, "u1"),
        ("u1", 2, "u2"),
        ("u1", 258, "u4"),
        ("u2", 65537, "u4"),
        ("u2", 65538, "f8"),
        ("u4", 2**21, "f8"),
        ("i1", 2, "i2"),
        ("i2", 65536, "i4"),
        ("i2", 65537, "f8"),
        ("i4", 2, "f8"),
        ("f2", 2, "f8"),
        ("f4", 2, "f8"),
    ],
)
def test_the_dtype_of_a_sum_is_known_by_dtype_and_number(dtype, count, wanted):
    """The smallest that holds number times the largest value, exactly."""
    assert Sum().result_dtype(np.dtype(dtype), count) == wanted


@pytest.mark.parametrize("dtype", WIDE)
def test_a_sum_that_no_tiff_holds_is_refused(dtype):
    """Whatever the values are: 64 bits, even of zeros; the next step is told."""
    with pytest.raises(DtypeError, match="Cast to a smaller dtype before"):
        Sum().join([np.zeros(SHAPE, dtype)] * 2)


def test_whole_numbers_that_float64_would_round_are_refused():
    """Beyond 2**53; up to there they are averaged."""
    images = [np.array([[2**53 - 1]], "u8"), np.array([[1]], "u8")]

    assert Average().join(images).tolist() == [[2.0**52]]
    with pytest.raises(DtypeError, match="9007199254740993"):
        Average().join([np.array([[2**53 + 1]], "u8")])


def test_large_images_are_joined():
    """Each pixel with its own."""
    shape = (2100, 300)
    images = [np.random.default_rng(k).normal(size=shape) for k in range(3)]

    result = Average().join(images)

    exact = [math.fsum(v) / 3 for v in zip(*(i.ravel()[-99:] for i in images))]  # noqa: B905
    np.testing.assert_allclose(result.ravel()[-99:], exact, rtol=1e-15)


@settings(max_examples=20)
@given(images=frames(SMALL))
def test_frames_and_pixels_are_added_up_alike(images):
    """The sum of n frames and of n binned pixels has the same dtype and values."""
    columns = np.concatenate([i[:, :1] for i in images], axis=1)

    binned = Bin((1, len(images))).__call__(columns)

    np.testing.assert_array_equal(Sum().join(images)[:, :1], binned)
    assert Sum().join(images).dtype == binned.dtype


@pytest.mark.parametrize("n", [0, -1, True, 2.0, "10", 2**21 + 1, np.bool_(True)])
@pytest.mark.parametrize("step", [Average, Sum])
def test_a_number_of_frames_is_a_number(step, n):
    """From 1; what is none is refused before any run."""
    with pytest.raises(SettingsError, match="whole number from 1 to 2097152"):
        step(n)


def test_numpy_s_numbers_are_numbers_and_steps_tell_themselves():
    """In the manifest's words, whatever n came from."""
    assert str(Average(np.int64(10))) == "Average(n=10)"
    assert str(Sum()) == "Sum(n=None)"


def test_other_shapes_and_dtypes_are_refused_and_shown():
    """Both of them."""
    image = np.zeros(SHAPE, "u2")

    with pytest.raises(CorrectionError, match=r"uint16 \(2, 3\).*uint16 \(3, 2\)"):
        Sum().join([image, image.T])
    with pytest.raises(CorrectionError, match=r"uint16 \(2, 3\).*float32 \(2, 3\)"):
        Sum().join([image, image.astype("f4")])
    with pytest.raises(CorrectionError, match="no image to join"):
        Average().join([])
    with pytest.raises(DtypeError, match="complex64"):
        Average().join([image.astype("c8")])


def test_a_sum_on_the_way_can_be_asked_for_and_goes_on():
    """Asking changes nothing."""
    running = RunningSum((1,), np.dtype("f4"))
    seen = []
    for value in (0.1, 0.2, 0.3):
        running.add(np.array([value], "f4"))
        seen.append(running.mean(np.dtype("f4"))[0])

    np.testing.assert_allclose(seen, [0.1, 0.15, 0.2], rtol=1e-6)
