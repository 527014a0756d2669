"""Corrections of one image: exact, counted, and told in one line."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.rounding import is_near, nearest
from tiffin.corrections.base import Notes, ReferenceImages
from tiffin.corrections.cast import Cast
from tiffin.corrections.shapes import Bin, Crop, Flip, Rotate
from tiffin.corrections.values import Mask, Scale, Threshold
from tiffin.errors import CorrectionError, DtypeError, SettingsError

SOURCES = ["?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"]
FLOATS = ["f2", "f4", "f8"]
TARGETS = ["uint8", "uint16", "uint32", "int8", "int16", "int32"]
ROUNDINGS = {
    "half-even": round,
    "half-up": lambda v: math.floor(v + Fraction(1, 2)),
    "down": math.floor,
    "up": math.ceil,
    "toward-zero": math.trunc,
}
SHAPE = (2, 3)
GRID = np.arange(12, dtype="u2").reshape(3, 4)


def images(dtypes, shape=SHAPE, *, finite=False):
    """Read-only images, in either byte order, at times not contiguous."""

    def of(dtype):
        elements = None
        if dtype in FLOATS:
            width = int(dtype[1]) * 8
            special = st.floats(
                width=width, allow_nan=not finite, allow_infinity=not finite
            )
            halves = st.integers(-(2**17), 2**17).map(
                lambda n: float(np.dtype(dtype).type(max(-6e4, min(6e4, n / 2))))
            )
            limits = st.sampled_from([2.0**31, 2.0**32, 2.0**32 - 1, -(2.0**31) - 1])
            elements = special | halves
            if dtype == "f8":
                elements |= limits
        return hnp.arrays(dtype, shape, elements=elements).flatmap(
            lambda a: st.sampled_from(
                [
                    a,
                    np.asfortranarray(a),
                    a.astype(a.dtype.newbyteorder(">")),
                    spread(a),
                ]
            )
        )

    return st.sampled_from(dtypes).flatmap(of).map(frozen)


def spread(a):
    wide = np.zeros((*a.shape, 2), a.dtype)[..., 0]
    wide[...] = a
    return wide


def frozen(a):
    a.flags.writeable = False
    return a


def limits(dtype):
    if np.dtype(dtype).kind == "b":
        return 0, 1
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


# Cast


@given(
    image=images(SOURCES + FLOATS),
    target=st.sampled_from(TARGETS),
    overflow=st.sampled_from(["error", "clip"]),
    rounding=st.sampled_from([*ROUNDINGS, "none"]),
)
def test_casts_to_whole_numbers(image, target, overflow, rounding):
    """Pixels are rounded as asked; clipped ones are counted, or the image is
    refused.
    """
    step, notes = Cast(target, overflow=overflow, rounding=rounding), Notes()
    values = [value.item() for value in image.ravel()]
    low, high = limits(target)
    whole = []
    if all(map(math.isfinite, values)):
        exact = [Fraction(value) for value in values]
        if rounding != "none":
            whole = [ROUNDINGS[rounding](value) for value in exact]
        elif all(value.denominator == 1 for value in exact):
            whole = [int(value) for value in exact]
    outside = sum(not low <= value <= high for value in whole)

    if not whole or (outside and overflow == "error"):
        with pytest.raises(DtypeError):
            step(image, None, notes)
        assert notes.clipped == 0
    else:
        cast = step(image, None, notes)
        assert cast.dtype == target
        assert cast.ravel().tolist() == [max(low, min(high, v)) for v in whole]
        assert notes.clipped == outside


@given(
    image=images(SOURCES + FLOATS),
    target=st.sampled_from(["float32", "float64"]),
    overflow=st.sampled_from(["error", "clip"]),
)
def test_casts_to_floats(image, target, overflow):
    """Integers are exact or refused; floats become the nearest."""
    dtype, notes = np.dtype(target), Notes()
    largest = float(np.finfo(dtype).max)
    wanted, over, refused = [], 0, False
    for value in (value.item() for value in image.ravel()):
        if not math.isfinite(value):
            wanted.append(value)
            continue
        near = nearest(Fraction(value), dtype)
        if math.isinf(near):
            over += 1
            near = math.copysign(largest, near)
        refused |= image.dtype.kind != "f" and int(near) != value
        wanted.append(near)

    if refused or (over and overflow == "error"):
        with pytest.raises(DtypeError):
            Cast(target, overflow=overflow)(image, None, notes)
    else:
        cast = Cast(target, overflow=overflow)(image, None, notes)
        assert cast.dtype == dtype
        np.testing.assert_array_equal(cast.ravel(), np.array(wanted, dtype))
        assert notes.clipped == over


@given(
    image=images(SOURCES),
    target=st.sampled_from(TARGETS),
    rounding=st.sampled_from([*ROUNDINGS, "none"]),
)
def test_casts_by_scale(image, target, rounding):
    """The whole range of the dtype becomes the whole range of the other."""
    (low, high), (first, last) = limits(image.dtype), limits(target)
    step, notes = Cast(target, overflow="scale", rounding=rounding), Notes()
    exact = [
        first + Fraction((int(v) - low) * (last - first), high - low)
        for v in image.ravel()
    ]

    if rounding == "none" and any(value.denominator > 1 for value in exact):
        with pytest.raises(DtypeError, match="fractions"):
            step(image, None, notes)
    else:
        wanted = [ROUNDINGS.get(rounding, int)(value) for value in exact]
        cast = step(image, None, notes)
        assert cast.dtype == target
        assert cast.ravel().tolist() == wanted
        assert notes.clipped == 0


def test_nan_never_becomes_a_whole_number():
    """Not when clipped either; the message says what to do."""
    with pytest.raises(DtypeError, match="Mask"):
        Cast("uint16", overflow="clip")(np.array([[np.nan]]))
    with pytest.raises(DtypeError, match=r"Scale.*clip"):
        Cast("uint16", overflow="scale")(np.array([[0.5]]))


def test_a_cast_to_the_same_dtype_is_the_image():
    """No copy is made."""
    assert Cast("uint16")(GRID) is GRID


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        (("uint17",), {}),
        (("uint64",), {}),
        ((None,), {}),
        (("uint8",), {"overflow": "wrap"}),
        (("uint8",), {"rounding": "half-evn"}),
        (("float32",), {"overflow": "scale"}),
    ],
)
def test_a_cast_that_can_not_be_is_refused_at_once(arguments, settings):
    """Before the beam."""
    with pytest.raises(SettingsError):
        Cast(*arguments, **settings)


# Shapes


@pytest.mark.parametrize("rows", [None, (0, 3), (1, 2), slice(-2, None), (None, -1)])
@pytest.mark.parametrize("columns", [None, [1, 4], slice(1, 3, 1), (-3, -1)])
def test_a_crop_is_a_slice(rows, columns):
    """Negative indices are Python's."""
    cropped = Crop(rows, columns)(frozen(GRID.copy()))
    wanted = GRID[
        slice(*rows) if isinstance(rows, tuple) else rows or slice(None),
        slice(*columns)
        if isinstance(columns, (tuple, list))
        else columns or slice(None),
    ]

    assert cropped.tolist() == wanted.tolist()
    assert cropped.flags.c_contiguous


@pytest.mark.parametrize("rows", [(0, 4), (2, 2), (2, 1), (-4, 2), (3, None), (0, -3)])
def test_a_crop_outside_the_image_is_refused(rows):
    """Python would give fewer pixels, or none."""
    with pytest.raises(CorrectionError, match=r"\(3, 4\)"):
        Crop(rows, None)(GRID)


@pytest.mark.parametrize("bounds", [3, (1, 2, 3), (0.5, 2), slice(0, 4, 2), (True, 2)])
def test_bounds_are_checked_at_once(bounds):
    """Before the beam."""
    with pytest.raises(SettingsError, match=r"columns (must|keeps)"):
        Crop(None, bounds)


@given(
    image=images(SOURCES + FLOATS, (4, 6), finite=True),
    n=st.sampled_from([1, 2, (2, 3), (4, 1), (1, 6)]),
    how=st.sampled_from(["sum", "mean"]),
)
def test_bins_are_sums_and_means(image, n, how):
    """Sums of whole numbers are exact and never wrap; others are those of float64."""
    rows, columns = n if isinstance(n, tuple) else (n, n)
    parts = [
        [Fraction(v.item()) for v in image[i : i + rows, j : j + columns].ravel()]
        for i, j in itertools.product(range(0, 4, rows), range(0, 6, columns))
    ]
    exact = [sum(part) for part in parts]
    if how == "mean":
        exact = [value / (rows * columns) for value in exact]
    try:
        binned = Bin(n, how)(image)
    except DtypeError:
        wide = image.dtype.itemsize == 8 and image.dtype.kind in "iu"
        large = wide and any(abs(v) > 2**53 for part in parts for v in part)
        over = any(sum(map(abs, part)) > 3e38 for part in parts)
        assert (how == "sum" and wide) or large or over
    else:
        assert binned.shape == (4 // rows, 6 // columns)
        for got, wanted, part in zip(binned.ravel(), exact, parts, strict=True):
            if binned.dtype.kind == "f" and image.dtype.kind == "f":
                assert is_near(got, wanted, binned.dtype, part, len(part))
            elif binned.dtype.kind == "f":
                assert is_near(got, wanted, binned.dtype, part)
            else:
                assert got == wanted


@pytest.mark.parametrize(
    ("source", "n", "how", "target"),
    [
        ("u1", 1, "sum", "u1"),
        ("u1", 2, "sum", "u2"),
        ("u2", 2, "sum", "u4"),
        ("u4", 2, "sum", "f8"),
        ("i1", 2, "sum", "i2"),
        ("i2", 2, "sum", "i4"),
        ("?", 2, "sum", "u1"),
        ("f2", 2, "sum", "f4"),
        ("f4", 2, "sum", "f4"),
        ("f8", 2, "sum", "f8"),
        ("u1", 2, "mean", "f4"),
        ("i2", 2, "mean", "f4"),
        ("u4", 2, "mean", "f8"),
        ("f4", 2, "mean", "f8"),
    ],
)
@pytest.mark.parametrize("fill", [0, 1])
def test_a_bin_is_of_a_dtype_that_values_do_not_decide(source, n, how, target, fill):
    """Only the image's dtype and n decide."""
    assert Bin(n, how)(np.full((4, 4), fill, source)).dtype == target


def test_a_bin_that_no_dtype_holds_is_refused():
    """Whatever the values are."""
    with pytest.raises(DtypeError, match="uint64"):
        Bin(2)(np.zeros((4, 4), "u8"))


def test_a_bin_that_does_not_divide_the_shape_names_crop():
    """Nothing is dropped at the edge."""
    with pytest.raises(
        CorrectionError, match=r"Crop\(rows=\(0, 2\), columns=\(0, 4\)\)"
    ):
        Bin(2)(GRID)
    with pytest.raises(CorrectionError, match="smaller n"):
        Bin(5)(GRID)


def test_the_samples_of_a_colour_stay_together():
    """Shape (rows, columns, samples)."""
    colour = np.arange(24, dtype="u1").reshape(2, 4, 3)

    assert Bin(2)(colour).shape == (1, 2, 3)
    assert Crop((0, 1), (1, 3))(colour).shape == (1, 2, 3)
    assert Rotate(1)(colour).shape == (4, 2, 3)
    assert Flip(1)(colour)[0, 0].tolist() == colour[0, -1].tolist()


@pytest.mark.parametrize("turns", [-5, -1, 0, 1, 2, 3, 6, np.int64(7)])
def test_a_turn_is_counter_clockwise(turns):
    """As numpy.rot90."""
    turned = Rotate(turns)(frozen(GRID.copy()))

    assert turned.tolist() == np.rot90(GRID, turns).tolist()
    assert turned.flags.c_contiguous


@pytest.mark.parametrize("axis", [0, "rows", "up-down", 1, "columns", "left-right"])
def test_a_flip_has_names(axis):
    """By the axis or by direction."""
    flipped = Flip(axis)(frozen(GRID.copy()))
    number = 0 if axis in (0, "rows", "up-down") else 1

    assert flipped.tolist() == np.flip(GRID, number).tolist()
    assert flipped.flags.c_contiguous


@pytest.mark.parametrize(
    ("step", "arguments"),
    [
        (Rotate, {"quarter_turns": 0.5}),
        (Rotate, {"quarter_turns": "left"}),
        (Flip, {"axis": 2}),
        (Flip, {"axis": "diagonal"}),
        (Flip, {"axis": True}),
        (Flip, {"axis": [0]}),
        (Bin, {"n": 0}),
        (Bin, {"n": (2, 2, 2)}),
        (Bin, {"n": 2, "how": "median"}),
        (Scale, {"factor": "two"}),
        (Scale, {"factor": math.inf}),
        (Scale, {"factor": -math.inf}),
        (Scale, {"factor": 2**53 + 1}),
        (Scale, {"factor": 1, "offset": 10**400}),
        (Threshold, {}),
        (Threshold, {"low": 2, "high": 1}),
        (Threshold, {"low": math.nan}),
        (Mask, {"fill": 0}),
        (Mask, {"file": "a.tif", "array": GRID, "fill": 0}),
        (Mask, {"file": 3, "fill": 0}),
        (Mask, {"array": GRID[0], "fill": 0}),
        (Mask, {"array": GRID, "fill": True}),
    ],
)
def test_settings_are_checked_at_once(step, arguments):
    """Before the beam."""
    with pytest.raises(SettingsError, match=r"not|needs|above"):
        step(**arguments)


# Values


@given(
    image=images(SOURCES + FLOATS),
    factor=st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-1000, 1000)
    | st.sampled_from([0.1, 1 / 3, 2.0**-24]),
    offset=st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-1000, 1000)
    | st.sampled_from([0.1, 2.0**-80]),
)
def test_scaled_values(image, factor, offset):
    """Image · factor + offset, in float64; what can't be held is refused."""
    dtype = np.dtype("f4" if image.dtype.itemsize <= 2 else "f8")
    values = [value.item() for value in image.ravel()]
    products = [
        Fraction(v) * Fraction(factor) if math.isfinite(v) else None for v in values
    ]
    limit = Fraction(float(np.finfo(dtype).max)) * (1 - Fraction(2) ** -20)
    try:
        scaled = Scale(factor, offset)(image)
    except DtypeError:
        large = image.dtype.kind in "iu" and any(abs(v) > 2**53 for v in values)
        over = [
            abs(p) + abs(Fraction(offset)) > limit for p in products if p is not None
        ]
        assert large or any(over)
    else:
        assert scaled.dtype == dtype
        for got, product in zip(scaled.ravel(), products, strict=True):
            if product is None:
                assert not np.isfinite(got)
            else:
                sizes = (product, Fraction(offset))
                assert is_near(got, sum(sizes), dtype, sizes)


@given(
    image=images(SOURCES + FLOATS),
    bounds=st.tuples(
        *[
            st.none()
            | st.integers(-(2**70), 2**70)
            | st.integers(-5, 300)
            | st.sampled_from([2**53 + 1, 2**63, 2**64 - 1, 0.1, 10**400])
            | st.floats(allow_nan=False, allow_infinity=False)
        ]
        * 2
    ),
)
def test_thresholds_compare_exactly(image, bounds):
    """Whatever the dtypes of image and bounds; NaN stays."""
    low, high = bounds
    if low is None and high is None:
        low = 0
    if low is not None and high is not None and low > high:
        low, high = high, low
    notes = Notes()
    values = [value.item() for value in image.ravel()]
    outside = [
        (low is not None and v < low) or (high is not None and v > high) for v in values
    ]
    kept = Threshold(low, high)(image, None, notes)
    wanted = [0 if out else v for v, out in zip(values, outside, strict=True)]

    assert kept.dtype == image.dtype
    np.testing.assert_array_equal(kept.ravel(), np.array(wanted, image.dtype))
    assert notes.clipped == sum(outside)


@given(image=images(SOURCES + FLOATS, finite=True), fill=st.data(), mask=st.data())
def test_masks_fill_what_the_dtype_holds(image, fill, mask):
    """Masked pixels become the fill value; a fill that the dtype can't hold is
    refused.
    """
    fill = fill.draw(
        st.integers(-(2**70), 2**70)
        | st.integers(-9, 300)
        | st.just(10**400)
        | st.floats()
    )
    masked = mask.draw(hnp.arrays("u1", SHAPE))
    step = Mask(array=masked, fill=fill)
    try:
        result = step(image)
    except DtypeError:
        assert not fits(fill, image.dtype)
    else:
        wanted = np.where(masked != 0, np.array(fill).astype(image.dtype), image)
        np.testing.assert_array_equal(result, wanted)
        assert result.dtype == image.dtype
        assert fits(fill, image.dtype)


def fits(fill, dtype):
    if dtype.kind != "f":
        low, high = limits(dtype)
        return low <= fill <= high and fill == int(fill)
    if isinstance(fill, float) and not math.isfinite(fill):
        return True
    if dtype.itemsize == 2:
        with np.errstate(over="ignore"):
            return abs(fill) < 1e5 and float(np.float16(fill)) == fill
    return nearest(Fraction(fill), dtype) == fill


class Run:
    """A run that has files, and nothing else."""

    def __init__(self, images):
        self.images = images
        self.asked = []

    def of_file(self, path):
        self.asked.append(path)
        return ReferenceImages(read=lambda: self.images, name=path)


def test_a_mask_is_read_once_and_told():
    """By bind; notes have its file and checksum."""
    run = Run((GRID > 9)[None].astype("u1"))
    step = Mask(file="bad.tif", fill=1)
    bound, notes = step.bind(run), Notes()
    results = [bound(GRID, None, notes) for _ in range(2)]

    assert run.asked == ["bad.tif"]
    assert results[0].ravel().tolist() == [*range(10), 1, 1]
    assert [used["file"] for used in notes.used] == ["bad.tif"] * 2
    assert notes.used[0]["checksum"].startswith("sha256:")
    assert GRID[-1, -1] == 11


def test_a_mask_of_several_images_is_refused():
    """It is not clear which one is meant."""
    with pytest.raises(CorrectionError, match=r"\(2, 3, 4\)"):
        Mask(file="bad.tif", fill=1).bind(Run(np.zeros((2, 3, 4))))
    with pytest.raises(CorrectionError, match="bind"):
        Mask(file="bad.tif", fill=1)(GRID)


def test_a_mask_of_another_shape_is_refused():
    """Both shapes are shown."""
    with pytest.raises(CorrectionError, match=r"\(3, 4\).*\(4, 3\)"):
        Mask(array=GRID.T, fill=0)(GRID)


# All of them


@pytest.mark.parametrize(
    ("step", "same", "told"),
    [
        (
            Cast("uint16", overflow="clip"),
            Cast(np.uint16, overflow="clip"),
            "Cast(dtype='uint16', overflow='clip', rounding='half-even')",
        ),
        (Crop((10, 20), (0, 5)), Crop(slice(10, 20), [0, 5]), None),
        (Bin(2), Bin((2, 2), how="sum"), "Bin(n=(2, 2), how='sum')"),
        (Rotate(1), Rotate(np.int8(1)), "Rotate(quarter_turns=1)"),
        (Flip(0), Flip("up-down"), "Flip(axis=0)"),
        (Scale(2), Scale(np.uint8(2), offset=0), "Scale(factor=2, offset=0)"),
        (Threshold(1), Threshold(low=1), "Threshold(low=1, high=None)"),
        (Mask(array=GRID, fill=math.nan), Mask(array=GRID * 2, fill=math.nan), None),
        (Mask(file="a", fill=0), Mask(file=b"a", fill=0), "Mask(file='a', fill=0)"),
    ],
)
def test_equal_settings_are_told_alike(step, same, told):
    """Their description is the same line."""
    assert step == same
    assert hash(step) == hash(same)
    assert str(step) == str(same)
    assert "\n" not in str(step)
    assert told in (None, str(step))


def test_a_crop_is_told_as_it_is_written():
    """So that it can be copied from a manifest."""
    step = Crop(rows=(10, 20), columns=(0, 5))

    assert str(step) == "Crop(rows=(10, 20), columns=(0, 5))"


@pytest.mark.parametrize(
    "step",
    [Cast("uint8"), Crop(), Bin(1), Rotate(4), Flip(0), Scale(1), Threshold(0, 99)],
)
def test_simple_steps_are_their_own_bound_form(step):
    """They are called as (image, frame, notes), or with an image alone."""
    bound = step.bind(Run(None))

    assert bound is step
    assert (bound(GRID, None, Notes()) == step(GRID)).all()


@pytest.mark.parametrize(
    "step", [Scale(2), Threshold(1), Bin(1), Mask(array=GRID, fill=0)]
)
def test_complex_images_are_refused(step):
    """An imaginary part is never dropped."""
    with pytest.raises(DtypeError, match="complex64"):
        step(GRID.astype("c8"))


def test_large_images_are_worked_on_in_blocks():
    """Clipped pixels of all blocks are counted."""
    image = np.random.default_rng(1).integers(0, 2**16, (1100, 700), "u2")
    notes = Notes()

    cast = Cast("uint8", overflow="clip")(image, None, notes)
    assert (cast == np.minimum(image, 255)).all()
    assert notes.clipped == (image > 255).sum()
    assert (Scale(0.5)(image) == image.astype("f4") / 2).all()
    assert (Scale(0.5)(image.astype("u4")) == image / 2).all()
    assert (Rotate(1)(image) == np.rot90(image)).all()


@pytest.mark.parametrize("dtype", ["u1", ">u2", "i1", "i2", "f2", "?"])
@pytest.mark.parametrize("settings", [(1 / 3, 0.1), (-7, 2), (1e-30, 0)])
def test_an_image_of_all_values_is_scaled_as_its_rows_are(dtype, settings):
    """A look-up table for large images has NaN and infinity as well."""
    size = np.dtype(dtype).itemsize
    image = np.arange(256**size, dtype=f"u{size}").reshape(16, -1)
    image = frozen(image > 9 if dtype == "?" else image.view(dtype))
    step = Scale(*settings)
    rows = [step(image[i : i + 1, :128]) for i in range(16)]

    np.testing.assert_array_equal(step(image)[:, :128], np.concatenate(rows))


def test_a_table_refuses_what_it_does_not_hold():
    """Only if the image has such a value."""
    image = np.zeros((256, 256), "u2")

    assert not Scale(1e38)(image).any()
    with pytest.raises(DtypeError, match="float32 can't hold"):
        Scale(1e38)(image + np.uint16(4))
