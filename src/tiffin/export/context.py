"""What the parts of an export share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tiffin.engine import Ledger
    from tiffin.export.journal import Journal
    from tiffin.export.naming import Namer
    from tiffin.export.publisher import Publisher
    from tiffin.settings import Settings

__all__ = ["ExportContext"]


class ExportContext(NamedTuple):
    """The settings of an export, and where its names, records and files go.

    Attributes
    ----------
    settings : Settings
    namer : Namer
        Names frames.
    ledger : Ledger
        Keeps a record of each frame.
    journal : Journal
        Writes the manifests.
    publisher : Publisher
        Writes the files.
    """

    settings: Settings
    namer: Namer
    ledger: Ledger
    journal: Journal
    publisher: Publisher
