"""Read files of raw pixels, one image after another.

`RawRows` reads them for stream resources, `RawHandler` for Resource documents.
"""

import numpy as np

from tiffin.errors import NotYetError


class RawRows:
    """The images in one file.

    Parameters
    ----------
    asset : tiffin.readers.Asset
        Its parameters are the ``shape`` (rows, columns) and ``dtype`` of an image.
    """

    colour = False

    def __init__(self, asset):
        self._path = asset.path
        self._shape = tuple(asset.parameters["shape"])
        self._dtype = np.dtype(asset.parameters["dtype"])

    def row_shape(self, row):
        self._need(row)
        return self._shape

    def read(self, row):
        self._need(row)
        count = int(np.prod(self._shape))
        offset = row * count * self._dtype.itemsize
        image = np.fromfile(self._path, self._dtype, count, offset=offset)
        return image.reshape(self._shape)

    def close(self):
        pass

    def _need(self, row):
        size = self._path.stat().st_size if self._path.exists() else 0
        image = int(np.prod(self._shape)) * self._dtype.itemsize
        if size < (row + 1) * image:
            raise NotYetError(f"{self._path} holds {size // image} images (yet)")


class RawHandler:
    """A databroker handler: created for a resource, called for each datum."""

    def __init__(self, path, shape, dtype):
        self._images = np.fromfile(path, dtype).reshape(-1, *shape)

    def __call__(self, index):
        return self._images[index]
