"""Differences, quotients, sums and means: exact, or rounded once."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tiffin.corrections import arithmetic, sums
from tiffin.corrections.arithmetic import (
    average,
    divide,
    prepare_dark,
    prepare_flat,
    subtract,
)
from tiffin.corrections.cast import Cast
from tiffin.corrections.step import Notes
from tiffin.errors import CorrectionError, DtypeError
from tiffin.exact import nearest

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


def check(result, wanted):
    """Every pixel is the nearest that the dtype holds, or the same special float."""
    for got, exactly in zip(result.ravel(), wanted, strict=True):
        if isinstance(exactly, float):
            assert (math.isnan(exactly) and np.isnan(got)) or exactly == got
        elif result.dtype.kind == "f":
            assert float(got) == nearest(exactly, result.dtype)
        else:
            assert int(got) == exactly


def overflows(wanted, dtype):
    return any(
        isinstance(exactly, Fraction) and math.isinf(nearest(exactly, dtype))
        for exactly in wanted
    )


@given(value=st.fractions() | st.floats(allow_nan=False, allow_infinity=False))
def test_the_nearest_float32_is_the_nearest(value):
    """No float32 beside it is nearer than what `nearest` gives."""
    value = Fraction(value)
    got = nearest(value, np.dtype("f4"))
    assume(math.isfinite(got))
    sides = [float(np.nextafter(np.float32(got), np.float32(s))) for s in (-1e38, 1e38)]

    assert all(
        abs(value - Fraction(side)) >= abs(value - Fraction(got)) for side in sides
    )


@given(
    image=arrays(WHOLE + FLOATS),
    dark=arrays(WHOLE + FLOATS),
    dtype=st.sampled_from([None, "f4", "f8"]),
    prepared=st.booleans(),
)
def test_differences_are_rounded_once(image, dark, dtype, prepared):
    """Image - dark, for every pair of dtypes, is the nearest float: never wrapped."""
    pairs = zip(image.ravel(), dark.ravel(), strict=True)
    wanted = [combine(exact(a), exact(b), lambda a, b: a - b) for a, b in pairs]
    ready = prepare_dark(dark, image.dtype, dtype) if prepared else dark
    default = "f4" if np.can_cast(image.dtype, "f4") else "f8"

    if overflows(wanted, np.dtype(dtype or default)):
        with pytest.raises(DtypeError, match="can't hold"):
            subtract(image, ready, dtype)
    else:
        result = subtract(image, ready, dtype)
        assert result.dtype == np.dtype(dtype or default)
        check(result, wanted)


@given(
    image=arrays(["u4", "u8", "i8", "f8"], finite=True),
    fraction=st.integers(-(2**30), 2**30),
    exponent=st.integers(-80, 10),
    dtype=st.sampled_from(["f4", "f8"]),
)
def test_a_little_beside_a_tie_is_not_forgotten(image, fraction, exponent, dtype):
    """A dark far smaller than the light still decides to which side a tie goes."""
    dark = np.full(SHAPE, fraction * 2.0**exponent)
    wanted = [exact(a) - exact(dark[0, 0]) for a in image.ravel()]
    assume(not overflows(wanted, np.dtype(dtype)))

    check(subtract(image, dark, dtype), wanted)


@given(
    image=arrays(WHOLE + FLOATS),
    dark=arrays(WHOLE + FLOATS),
    dtype=st.sampled_from(WHOLE[1:]),
    prepared=st.booleans(),
)
def test_whole_differences_are_exact_or_refused(image, dark, dtype, prepared):
    """A dtype of whole numbers holds each difference, or the image is refused."""
    pairs = zip(image.ravel(), dark.ravel(), strict=True)
    wanted = [combine(exact(a), exact(b), lambda a, b: a - b) for a, b in pairs]
    limits = np.iinfo(dtype)
    fits = all(
        isinstance(v, Fraction) and v.denominator == 1 and limits.min <= v <= limits.max
        for v in wanted
    )
    ready = prepare_dark(dark, image.dtype, dtype) if prepared else dark

    try:
        result = subtract(image, ready, dtype)
    except DtypeError:
        # Beside floats, whole numbers beyond 2**53 may be refused.
        large = {"u8", "i8", "f4", "f8"} >= {image.dtype.str[1:], dark.dtype.str[1:]}
        assert not fits or large or "f" in image.dtype.kind + dark.dtype.kind
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
    """No difference that fits is refused, up to all 64 bits."""
    wanted = [int(a) - int(b) for a, b in zip(image.flat, dark.flat, strict=True)]
    limits = np.iinfo(dtype)

    if all(limits.min <= v <= limits.max for v in wanted):
        assert subtract(image, dark, dtype).ravel().tolist() == wanted
    else:
        with pytest.raises(DtypeError, match="holds"):
            subtract(image, dark, dtype)


@given(
    image=arrays(WHOLE + FLOATS),
    flat=arrays(WHOLE + FLOATS, finite=True),
    dtype=st.sampled_from([None, "f4", "f8"]),
    prepared=st.booleans(),
)
def test_quotients_are_rounded_once(image, flat, dtype, prepared):
    """Image / flat, for every pair of dtypes, is the nearest float."""
    flat = np.where(flat == 0, flat.dtype.type(1), flat)
    pairs = zip(image.ravel(), flat.ravel(), strict=True)
    wanted = [combine(exact(a), exact(b), lambda a, b: a / b) for a, b in pairs]
    ready = prepare_flat(flat, image.dtype, dtype) if prepared else flat
    default = "f4" if np.can_cast(image.dtype, "f4") else "f8"

    if overflows(wanted, np.dtype(dtype or default)):
        with pytest.raises(DtypeError, match="can't hold"):
            divide(image, ready, dtype)
    else:
        result = divide(image, ready, dtype)
        assert result.dtype == np.dtype(dtype or default)
        check(result, wanted)


@given(
    dtype=st.sampled_from(WHOLE + FLOATS),
    count=st.integers(1, 7),
    data=st.data(),
    target=st.sampled_from(["f4", "f8"]),
)
def test_means_are_rounded_once(dtype, count, data, target):
    """The mean of darks is the exact sum, divided, rounded once."""
    parts = [data.draw(arrays([dtype])) for _ in range(count)]
    pixels = [[exact(part[at]) for part in parts] for at in np.ndindex(SHAPE)]
    special = any(isinstance(v, float) for pixel in pixels for v in pixel)

    if special:
        for got, pixel in zip(average(parts).ravel(), pixels, strict=True):
            finite = all(isinstance(v, Fraction) for v in pixel)
            assert np.isfinite(got) == finite
    else:
        wanted = [sum(pixel) / count for pixel in pixels]
        check(average(parts), wanted)
        if not overflows(wanted, np.dtype(target)):
            check(sums.mean(parts, np.dtype(target)), wanted)


@given(count=st.integers(1, 7), data=st.data(), target=st.sampled_from(["f4", "f8"]))
def test_sums_of_floats_are_rounded_once(count, data, target):
    """However many numbers cancel."""
    parts = [data.draw(arrays(["f8"], finite=True)) for _ in range(count)]
    wanted = [sum(exact(part[at]) for part in parts) for at in np.ndindex(SHAPE)]

    if overflows(wanted, np.dtype(target)):
        with pytest.raises(DtypeError):
            sums.sum_floats(parts, np.dtype(target))
    else:
        check(sums.sum_floats(parts, np.dtype(target)), wanted)


def test_a_light_below_its_dark_does_not_wrap():
    """S22: 100 - 110 is -10, or 0 if clipped; never 65526."""
    light, dark = np.full(SHAPE, 100, "u2"), np.full(SHAPE, 110, "u2")
    notes = Notes()
    difference = subtract(light, prepare_dark(dark, light.dtype))
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
    """S23: the dark is clip(dark - pedestal): a light of 1000 never becomes 1050."""
    light = np.full(SHAPE, 1000, "u2")
    ready = prepare_dark(np.full(SHAPE, dark, dtype), light.dtype, pedestal=100)

    assert (subtract(light, ready) == wanted).all()


def test_a_constant_is_subtracted_from_every_pixel():
    """A dark of no dimension."""
    ready = prepare_dark(np.asarray(100.5), "uint16")

    assert (subtract(np.full(SHAPE, 100, "u2"), ready) == -0.5).all()


def test_large_images_are_worked_on_in_blocks():
    """Each block of rows finds its own rows of the dark."""
    rng = np.random.default_rng(1)
    image, dark = rng.integers(0, 2**16, (2, 1100, 700), "u2")

    assert (subtract(image, dark) == image.astype("i4") - dark.astype("i4")).all()
    assert (
        subtract(image, dark + 1 / 3) == (image - (dark + 1 / 3)).astype("f4")
    ).all()
    assert (divide(image, dark + 0.7) == (image / (dark + 0.7)).astype("f4")).all()


def test_a_given_array_is_written_to():
    """So that a caller can use memory again."""
    out = np.empty(SHAPE, "f4")
    result = subtract(np.ones(SHAPE, "u1"), np.ones(SHAPE, "u1"), out=out)

    assert result is out
    assert not out.any()
    with pytest.raises(CorrectionError, match=r"wanted .* float64"):
        subtract(np.ones(SHAPE), np.ones(SHAPE), out=out)


def test_results_are_in_the_machine_s_byte_order():
    """Whatever that of the image, or of the dtype asked for."""
    image = np.full(SHAPE, 2**24 + 1, ">u4")

    assert subtract(image, np.zeros(SHAPE, ">u4"), ">f8").dtype.isnative
    assert (subtract(image, np.zeros(SHAPE, ">u4"), ">f8") == 2**24 + 1).all()
    assert (divide(image, np.ones(SHAPE), ">f8") == 2**24 + 1).all()


@pytest.mark.parametrize(
    ("dark", "dtype"),
    [
        (np.ones(1, "u2"), "f4"),
        (np.array([1 / 3]), "f8"),
        (np.array([2**24 + 1]), "f8"),
    ],
)
def test_a_dark_becomes_float32_where_that_holds_it(dark, dtype):
    """Else float64: no value of a dark is rounded."""
    ready = prepare_dark(dark, "u2")

    assert ready.dtype == dtype
    assert ready == dark
    assert not ready.flags.writeable


def test_other_shapes_are_refused_and_shown():
    """S29: no dark is stretched to fit."""
    with pytest.raises(CorrectionError, match=r"\(2, 3\), the dark \(3,\)"):
        subtract(np.zeros(SHAPE), np.zeros(3))
    with pytest.raises(CorrectionError, match=r"flat field \(1, 2, 3\)"):
        divide(np.zeros(SHAPE), np.ones((1, *SHAPE)))
    with pytest.raises(CorrectionError, match=r"\(2, 3\) and \(3,\)"):
        average([np.zeros(SHAPE), np.zeros(3)])
    with pytest.raises(CorrectionError, match="none"):
        average([])


@pytest.mark.parametrize("bad", [0, np.nan, np.inf])
def test_a_flat_field_that_divides_by_nothing_is_refused(bad):
    """Unless these pixels are masked, which leaves the image's as they are."""
    flat = np.array([[2.0, bad], [4.0, bad]])
    mask = flat != flat[0, 0]
    mask[1, 0] = False

    with pytest.raises(CorrectionError, match=r"2 pixels .* row 0, column 1"):
        prepare_flat(flat, "u2")
    ready = prepare_flat(flat, "u2", mask=mask)
    assert divide(np.full((2, 2), 8, "u2"), ready).tolist() == [[4, 8], [2, 8]]
    with pytest.raises(CorrectionError, match="its mask"):
        prepare_flat(flat, "u2", mask=mask[:1])


def test_a_zero_in_a_flat_field_is_never_divided_by():
    """Even in one that was not prepared."""
    with pytest.raises(CorrectionError, match="zero"):
        divide(np.ones(SHAPE, "u2"), np.zeros(SHAPE))


def test_what_is_no_real_number_is_refused():
    """Complex images, and results that no TIFF holds."""
    with pytest.raises(DtypeError, match="complex64"):
        subtract(np.zeros(SHAPE, "c8"), np.zeros(SHAPE))
    with pytest.raises(DtypeError, match="float16"):
        subtract(np.zeros(SHAPE), np.zeros(SHAPE), "f2")
    with pytest.raises(DtypeError, match="Cast"):
        divide(np.zeros(SHAPE), np.ones(SHAPE), "u2")
    with pytest.raises(CorrectionError, match="pedestal"):
        prepare_dark(np.zeros(SHAPE), "u2", pedestal=np.nan)


def test_no_float64_of_the_whole_image_is_made():
    """The buffer of a thread is as large as a block."""
    image, dark = np.zeros((2048, 2048), "u2"), np.full((2048, 2048), 0.1)
    subtract(image, dark)

    assert all(a.size <= sums.BLOCK for a in arithmetic._threads.__dict__.values())
