"""Create the documents of small runs, for tests of code that uses tiffin."""

from tiffin.testing.documents import run_of

__all__ = ["run_of"]
