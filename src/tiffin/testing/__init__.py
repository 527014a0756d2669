"""Create the documents of small runs, for tests of code that uses tiffin."""

from tiffin.testing.documents import run_of
from tiffin.testing.heating_scan import heating_scan

__all__ = ["heating_scan", "run_of"]
