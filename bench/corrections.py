"""What corrections cost: python -m bench.corrections

A dark must cost at most 1.2 times the memory traffic that it can't do without: read
light and dark, write the result. The baseline copies as many bytes in the same run;
half of them are read and half written, as copies do.
"""

from __future__ import annotations

import gc
import statistics
import time

import numpy as np

from tiffin.corrections.arithmetic import average, divide, prepare_dark, subtract
from tiffin.corrections.cast import Cast
from tiffin.corrections.shapes import Bin, Crop, Flip, Rotate
from tiffin.corrections.values import Mask, Scale, Threshold

SHAPE = (2048, 2048)
REPETITIONS = 41


def copying(nbytes):
    """A copy that reads and writes so many bytes together."""
    source = np.ones(nbytes // 2, np.uint8)
    target = np.empty_like(source)
    return lambda: np.copyto(target, source)


def medians(contenders):
    """Run all in turn, and give each one's lower quartile [ms]."""
    times = {name: [] for name in contenders}
    for _ in range(REPETITIONS):
        for name, run in contenders.items():
            begun = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - begun) * 1000)
    return {name: statistics.quantiles(t, n=4)[0] for name, t in times.items()}


def darks(light):
    """Against the traffic, and against what everyone writes."""
    rng = np.random.default_rng(2)
    dark = rng.poisson(10, SHAPE).astype("u2")
    ready = prepare_dark(dark)
    mean = average([dark, dark, rng.poisson(10, SHAPE).astype("u2")])
    thirds = prepare_dark(mean)
    wide = light.astype("u4")
    wide_dark = prepare_dark(dark)
    flat = rng.normal(1, 0.1, SHAPE).astype("f4")
    single, double = np.empty(SHAPE, "f4"), np.empty(SHAPE, "f8")
    pixels = light.size
    cases = {
        # name: (bytes moved per pixel, ours, naive)
        "uint16 - dark, float32": (
            2 + 4 + 4,
            lambda: subtract(light, ready),
            lambda: np.copyto(single, light.astype("f4") - ready),
        ),
        "the same, into new memory": (
            2 + 4 + 4,
            lambda: subtract(light, ready),
            lambda: light.astype("f4") - ready,
        ),
        "uint16 - mean of 3 darks, float32": (
            2 + 8 + 4,
            lambda: subtract(light, thirds),
            lambda: np.copyto(single, light.astype(float) - thirds, casting="unsafe"),
        ),
        "uint32 - dark, float64": (
            4 + 8 + 8,
            lambda: subtract(wide, wide_dark),
            lambda: np.copyto(double, wide.astype(float) - wide_dark),
        ),
        "uint16 / flat, float32": (
            2 + 4 + 4,
            lambda: divide(light, flat),
            lambda: np.copyto(single, light.astype("f4") / flat),
        ),
    }
    contenders = {}
    for name, (nbytes, ours, naive) in cases.items():
        contenders[name, "traffic"] = copying(nbytes * pixels)
        contenders[name, "ours"] = ours
        contenders[name, "naive"] = naive
    figures = medians(contenders)
    print(f"{'':36} traffic   ours  naive [ms]  ours/traffic  ours/naive")
    for name in cases:
        traffic, ours, naive = (
            figures[name, who] for who in ("traffic", "ours", "naive")
        )
        print(
            f"{name:36} {traffic:7.2f} {ours:6.2f} {naive:6.2f}"
            f"       {ours / traffic:6.2f}      {ours / naive:6.2f}"
        )


def others(light):
    """The other corrections, against a copy of the image."""
    single = light.astype("f4") + 0.25
    mask = Mask(array=light == 30, fill=0)
    steps = {
        "Cast f4 to uint16, clip": lambda: Cast("uint16", overflow="clip")(single),
        "Cast f4 to uint16": lambda: Cast("uint16")(single),
        "Crop": lambda: Crop((512, 1536), (512, 1536))(light),
        "Bin(2)": lambda: Bin(2)(light),
        "Bin(2, mean)": lambda: Bin(2, "mean")(light),
        "Rotate(1)": lambda: Rotate(1)(light),
        "Flip(0)": lambda: Flip(0)(light),
        "Scale(0.1)": lambda: Scale(0.1)(light),
        "Threshold(10)": lambda: Threshold(10)(light),
        "Mask": lambda: mask(light),
        "copy": light.copy,
    }
    for name, milliseconds in medians(steps).items():
        print(f"{name:36} {milliseconds:7.2f} ms")


if __name__ == "__main__":
    image = np.random.default_rng(1).poisson(30, SHAPE).astype("u2")
    gc.disable()
    darks(image)
    others(image)
