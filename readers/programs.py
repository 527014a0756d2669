"""The readers: each gets a path and returns the pages, or raises."""

import os
import subprocess
import tempfile
from pathlib import Path

os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")  # it prints what it refuses

import cv2
import fabio
import numpy as np
import pyvips
import skimage.io
import tifffile
from PIL import Image


def by_tifffile(path):
    return tifffile.imread(path)


def by_skimage(path):
    return skimage.io.imread(path)


def by_fabio(path):
    with fabio.open(str(path)) as image:
        if image.nframes == 1 and image.data is not None:
            return image.data
        return np.array([image.get_frame(n).data for n in range(image.nframes)])


def by_pillow(path):
    with Image.open(path) as image:
        pages = []
        for n in range(image.n_frames):
            image.seek(n)
            pages.append(np.array(image))
        return np.array(pages)


def by_opencv(path):
    done, pages = cv2.imreadmulti(str(path), flags=cv2.IMREAD_UNCHANGED)
    if not done:
        raise OSError("OpenCV gives no image")
    found = np.array(pages)
    return found[..., ::-1] if found.ndim == 4 else found  # OpenCV has blue first


def by_libvips(path):
    image = pyvips.Image.new_from_file(str(path), n=-1, fail_on="warning")
    pages = image.get("n-pages") if image.get_typeof("n-pages") else 1
    found = image.numpy()
    return found.reshape(pages, -1, *found.shape[1:])


def by_libtiff(path):
    """Have libtiff decode the file; what it wrote is read as plain pixels."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.tif"
        done = subprocess.run(
            ["tiffcp", "-c", "none", "-r", "1000", path, copy],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise OSError(done.stderr)
        with tifffile.TiffFile(copy, is_ome=False, is_imagej=False) as tiff:
            return np.array([page.asarray() for page in tiff.pages])


PYTHON = {
    "tifffile": by_tifffile,
    "scikit-image": by_skimage,
    "fabio": by_fabio,
    "Pillow": by_pillow,
    "OpenCV": by_opencv,
    "libvips": by_libvips,
    "libtiff": by_libtiff,
}
