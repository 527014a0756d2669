"""Differences, quotients, sums and means, calculated in float64 and cast once."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.rounding import is_near
from tiffin.corrections.arithmetic import (
    RunningSum,
    average,
    divide,
    prepare_dark,
    subtract,
)
from tiffin.corrections.base import Notes
from tiffin.corrections.cast import Cast
from tiffin.errors import CorrectionError, DtypeError

WHOLE = ["?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"]
FLOATS = ["f2", "f4", "f8"]
SHAPE = (2, 3)


def arrays(dtypes, shape=SHAPE, *, finite=False, typical=True):
    """Arrays of a dtype out of some, in either byte order, at times not contiguous."""

    def of(dtype):
        elements = None
        if dtype in FLOATS:
            width = int(dtype[1]) * 8
            elements = st.floats(
                width=width, allow_nan=not finite, allow_infinity=not finite
            )
            if typical:
                # What detectors give: neighbours of ties, thirds, halves.
                near = st.builds(
                    lambda n, d, k: n / d * 2.0**k,
                    st.integers(-(2**26), 2**26),
                    st.sampled_from([1, 2, 3, 10]),
                    st.integers(-30, 3),
                ).map(lambda x: float(np.dtype(dtype).type(max(-6e4, min(6e4, x)))))
                elements = elements | near
        plain = hnp.arrays(dtype, shape, elements=elements)
        return plain.flatmap(lambda a: st.sampled_from(forms(a)))

    return st.sampled_from(dtypes).flatmap(of).map(frozen)


def forms(a):
    spread = np.zeros((a.shape[0], 2 * a.shape[1]), a.dtype)[:, ::2]
    spread[...] = a
    return [a, np.asfortranarray(a), a.astype(a.dtype.newbyteorder(">")), spread]


def frozen(a):
    a.flags.writeable = False
    return a


def exact(value):
    """A pixel as a fraction, or the float that is none."""
    item = value.item() if hasattr(value, "item") else value
    return Fraction(item) if math.isfinite(item) else float(item)


def combine(a, b, operation):
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return operation(a, b)
    return operation(float(a), float(b))


def check(result, wanted, sizes=None, steps=1):
    """Every pixel is within a unit in the last place, or is the same special float."""
    for n, (got, exactly) in enumerate(zip(result.ravel(), wanted, strict=True)):
        if isinstance(exactly, float):
            assert (math.isnan(exactly) and np.isnan(got)) or exactly == got
        else:
            parts = [p for p in (sizes[n] if sizes else ()) if isinstance(p, Fraction)]
            assert is_near(got, exactly, result.dtype, parts, steps)


def overflows(wanted, dtype):
    """Whether a pixel is beyond a dtype, or so near that rounding decides."""
    limit = Fraction(float(np.finfo(dtype).max)) * (1 - Fraction(2) ** -20)
    return any(isinstance(v, Fraction) and abs(v) > limit for v in wanted)


def added(parts):
    total = RunningSum(parts[0].shape, parts[0].dtype)
    for part in parts:
        total.add(part)
    return total


def too_large(*arrays):
    """Whether a whole number is more than float64 holds."""
    return any(
        a.dtype.kind in "iu" and any(abs(v) > 2**53 for v in a.ravel().tolist())
        for a in arrays
    )


@given(
    image=arrays(WHOLE + FLOATS),
    dark=arrays(WHOLE + FLOATS),
    dtype=st.sampled_from([None, "f4", "f8"]),
    prepared=st.booleans(),
)
def test_differences(image, dark, dtype, prepared):
    """Image - dark, for every pair of dtypes, is never wrapped."""
    pairs = [(exact(a), exact(b)) for a, b in zip(image.flat, dark.flat, strict=True)]
    wanted = [combine(a, b, lambda a, b: a - b) for a, b in pairs]
    default = "f4" if np.can_cast(image.dtype, "f4") else "f8"

    try:
        ready = prepare_dark(dark) if prepared else dark
        result = subtract(image, ready, dtype)
    except DtypeError:
        over = overflows(wanted, np.dtype(dtype or default))
        assert over or too_large(image, dark)
    else:
        assert result.dtype == np.dtype(dtype or default)
        check(result, wanted, pairs)


@given(
    image=arrays(WHOLE + FLOATS),
    dark=arrays(WHOLE + FLOATS),
    dtype=st.sampled_from(WHOLE[1:]),
    prepared=st.booleans(),
)
def test_whole_differences_are_exact_or_refused(image, dark, dtype, prepared):
    """An integer dtype holds every difference, or the image is refused."""
    pairs = zip(image.ravel(), dark.ravel(), strict=True)
    wanted = [combine(exact(a), exact(b), lambda a, b: a - b) for a, b in pairs]
    limits = np.iinfo(dtype)
    fits = all(
        isinstance(v, Fraction) and v.denominator == 1 and limits.min <= v <= limits.max
        for v in wanted
    )

    try:
        ready = prepare_dark(dark) if prepared else dark
        result = subtract(image, ready, dtype)
    except DtypeError:
        floats = "f" in image.dtype.kind + dark.dtype.kind
        assert not fits or floats or too_large(image, dark)
    else:
        assert fits
        assert [int(v) for v in result.ravel()] == wanted


@given(
    image=arrays(WHOLE),
    dark=arrays(WHOLE),
    dtype=st.sampled_from(WHOLE[1:]),
)
def test_whole_differences_of_whole_images_are_given_wherever_they_fit(
    image, dark, dtype
):
    """No difference that fits is refused, as far as float64 is exact."""
    wanted = [int(a) - int(b) for a, b in zip(image.flat, dark.flat, strict=True)]
    limits = np.iinfo(dtype)

    fits = all(limits.min <= v <= limits.max for v in wanted)
    if fits and not too_large(image, dark):
        assert subtract(image, dark, dtype).ravel().tolist() == wanted
    else:
        with pytest.raises(DtypeError, match=r"holds|beyond"):
            subtract(image, dark, dtype)


@given(
    image=arrays(WHOLE + FLOATS),
    flat=arrays(WHOLE + FLOATS, finite=True),
)
def test_quotients(image, flat):
    """Image / flat, for every pair of dtypes."""
    flat = np.where(flat == 0, flat.dtype.type(1), flat)
    pairs = zip(image.ravel(), flat.ravel(), strict=True)
    wanted = [combine(exact(a), exact(b), lambda a, b: a / b) for a, b in pairs]
    dtype = np.dtype("f4" if np.can_cast(image.dtype, "f4") else "f8")

    try:
        result = divide(image, flat)
    except DtypeError:
        assert overflows(wanted, dtype) or too_large(image, flat)
    else:
        assert result.dtype == dtype
        check(result, wanted)


@given(
    dtype=st.sampled_from(WHOLE + FLOATS),
    count=st.integers(1, 7),
    data=st.data(),
    target=st.sampled_from(["f4", "f8"]),
)
def test_means(dtype, count, data, target):
    """The mean of darks is that of the float64 sum, or of the exact integer sum."""
    parts = [data.draw(arrays([dtype])) for _ in range(count)]
    pixels = [[exact(part[at]) for part in parts] for at in np.ndindex(SHAPE)]
    special = any(isinstance(v, float) for pixel in pixels for v in pixel)
    try:
        average(parts)
    except DtypeError:
        finite = [[v for v in p if isinstance(v, Fraction)] for p in pixels]
        sizes = [sum(map(abs, pixel)) for pixel in finite]
        assert too_large(*parts) or overflows(sizes, "f8")
        return
    if special:
        for got, pixel in zip(average(parts).ravel(), pixels, strict=True):
            finite = all(isinstance(v, Fraction) for v in pixel)
            assert np.isfinite(got) == finite
    else:
        wanted = [sum(pixel) / count for pixel in pixels]
        check(average(parts), wanted, pixels, count)
        if not overflows(wanted, np.dtype(target)):
            check(added(parts).mean(np.dtype(target)), wanted, pixels, count)


@given(count=st.integers(1, 7), data=st.data(), target=st.sampled_from(["f4", "f8"]))
def test_sums_of_floats(count, data, target):
    """However many numbers cancel, the error is at most that of float64."""
    parts = [data.draw(arrays(["f8"], finite=True)) for _ in range(count)]
    pixels = [[exact(part[at]) for part in parts] for at in np.ndindex(SHAPE)]
    wanted = [sum(pixel) for pixel in pixels]

    try:
        result = added(parts).sum(np.dtype(target))
    except DtypeError:
        room = [sum(map(abs, pixel)) for pixel in pixels]
        assert overflows(room, np.dtype(target))
    else:
        check(result, wanted, pixels, count)


def test_a_light_below_its_dark_does_not_wrap():
    """S22: 100 - 110 is -10, or 0 if clipped; never 65526."""
    light, dark = np.full(SHAPE, 100, "u2"), np.full(SHAPE, 110, "u2")
    notes = Notes()
    difference = subtract(light, prepare_dark(dark))
    clipped = Cast("uint16", overflow="clip")(difference, None, notes)

    assert difference.dtype == np.float32
    assert (difference == -10).all()
    assert (clipped == 0).all()
    assert notes.clipped == 6
    assert (subtract(light, dark, "int16") == -10).all()
    with pytest.raises(DtypeError, match="uint16 holds 0 to 65535"):
        subtract(light, dark, "uint16")


@pytest.mark.parametrize("dtype", ["u2", "f4", "f8"])
@pytest.mark.parametrize(("dark", "wanted"), [(50, 1000), (100, 1000), (130, 970)])
def test_a_dark_below_its_pedestal_takes_nothing(dtype, dark, wanted):
    """S23: clip(dark - pedestal) is subtracted: a light of 1000 never becomes 1050."""
    light = np.full(SHAPE, 1000, "u2")
    ready = prepare_dark(np.full(SHAPE, dark, dtype), pedestal=100)

    assert (subtract(light, ready) == wanted).all()


def test_a_constant_is_subtracted_from_every_pixel():
    """A dark may be a single number."""
    ready = prepare_dark(np.asarray(100.5))

    assert (subtract(np.full(SHAPE, 100, "u2"), ready) == -0.5).all()


def test_large_images():
    """Each pixel has its own dark's pixel subtracted."""
    rng = np.random.default_rng(1)
    image, dark = rng.integers(0, 2**16, (2, 1100, 700), "u2")

    assert (subtract(image, dark) == image.astype("i4") - dark.astype("i4")).all()
    assert (
        subtract(image, dark + 1 / 3) == (image - (dark + 1 / 3)).astype("f4")
    ).all()
    assert (divide(image, dark + 0.7) == (image / (dark + 0.7)).astype("f4")).all()


def test_results_are_in_the_machine_s_byte_order():
    """Whatever the byte order of the image or of the requested dtype."""
    image = np.full(SHAPE, 2**24 + 1, ">u4")

    assert subtract(image, np.zeros(SHAPE, ">u4"), ">f8").dtype.isnative
    assert (subtract(image, np.zeros(SHAPE, ">u4"), ">f8") == 2**24 + 1).all()
    assert (divide(image, np.ones(SHAPE)) == 2**24 + 1).all()


def test_a_prepared_dark_is_its_own():
    """It is read-only and shares no memory with the original."""
    dark = np.ones(SHAPE, ">u2")
    ready = prepare_dark(dark)

    assert (ready == dark).all()
    assert ready.dtype.isnative
    assert not ready.flags.writeable


def test_whole_numbers_that_float64_would_round_are_refused():
    """Beyond 2**53, whichever of them it is."""
    small, large = np.ones(SHAPE, "u8"), np.full(SHAPE, 2**53 + 1, "u8")

    for image, other in ((small, large), (large, small)):
        for dtype in (None, "int64", "float64"):
            with pytest.raises(DtypeError, match="9007199254740993"):
                subtract(image, other, dtype)
        with pytest.raises(DtypeError, match="9007199254740993"):
            divide(image, other)


def test_other_shapes_are_refused_and_shown():
    """S29: no dark is broadcast to fit."""
    with pytest.raises(CorrectionError, match=r"\(2, 3\), the dark \(3,\)"):
        subtract(np.zeros(SHAPE), np.zeros(3))
    with pytest.raises(CorrectionError, match=r"flat field \(1, 2, 3\)"):
        divide(np.zeros(SHAPE), np.ones((1, *SHAPE)))
    with pytest.raises(CorrectionError, match=r"\(2, 3\) and \(3,\)"):
        average([np.zeros(SHAPE), np.zeros(3)])
    with pytest.raises(CorrectionError, match="none"):
        average([])


def test_a_zero_in_a_flat_field_is_never_divided_by():
    """The result is no infinity."""
    with pytest.raises(CorrectionError, match="zero"):
        divide(np.ones(SHAPE, "u2"), np.zeros(SHAPE))


def test_what_is_no_real_number_is_refused():
    """Such as complex ones."""
    with pytest.raises(DtypeError, match="complex64"):
        subtract(np.zeros(SHAPE, "c8"), np.zeros(SHAPE))
