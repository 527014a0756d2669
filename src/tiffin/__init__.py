"""Export the images of Bluesky runs as numbered TIFF files.

`ImageExporter` exports live, `export` exports later. Both return a report that lists
every frame.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiffin._version import __version__
    from tiffin.bulk import bulk
    from tiffin.callback import ImageExporter
    from tiffin.compat import LiveTiffExporter
    from tiffin.errors import TiffinError
    from tiffin.file_metadata import read_metadata
    from tiffin.images import get_images
    from tiffin.records import Record, Report
    from tiffin.replay import export, process
    from tiffin.template import Template
    from tiffin.verify import verify

__all__ = [
    "bulk",
    "export",
    "process",
    "get_images",
    "read_metadata",
    "verify",
    "ImageExporter",
    "LiveTiffExporter",
    "Record",
    "Report",
    "Template",
    "TiffinError",
    "__version__",
]

_MODULES = {
    "bulk": "tiffin.bulk",
    "export": "tiffin.replay",
    "process": "tiffin.replay",
    "get_images": "tiffin.images",
    "read_metadata": "tiffin.file_metadata",
    "verify": "tiffin.verify",
    "ImageExporter": "tiffin.callback",
    "LiveTiffExporter": "tiffin.compat",
    "Record": "tiffin.records",
    "Report": "tiffin.records",
    "Template": "tiffin.template",
    "TiffinError": "tiffin.errors",
}


_ROOMS = ("compat", "corrections", "errors", "records", "report", "template", "testing")
"""Public modules that are available after ``import tiffin``."""


class _Lazy(ModuleType):
    """The package, which imports its public names when they are first used."""

    def __getattr__(self, name: str) -> Any:
        if name == "__version__":
            return _read_version()
        if name in _ROOMS:
            return import_module(f"tiffin.{name}")
        if name not in _MODULES:
            message = f"module 'tiffin' has no attribute {name!r}"
            raise AttributeError(message)
        value = getattr(import_module(_MODULES[name]), name)
        self.__dict__[name] = value
        return value

    def __setattr__(self, name: str, value: object) -> None:
        # The modules `export` and `verify` must not hide the functions.
        if not (name in _MODULES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted([*__all__, *_ROOMS])


def _read_version() -> str:
    try:
        from tiffin._version import __version__
    except ImportError:  # a checkout without a build
        return "0+unknown"
    return __version__


sys.modules[__name__].__class__ = _Lazy
