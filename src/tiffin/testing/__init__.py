"""Help for tests of whatever uses tiffin: documents of runs, made by hand."""

from tiffin.testing.documents import run_of

__all__ = ["run_of"]
