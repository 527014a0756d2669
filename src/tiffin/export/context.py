"""What the parts of an export share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tiffin.engine import Ledger
    from tiffin.export.manifests import Manifests
    from tiffin.export.naming import Namer
    from tiffin.export.publisher import Publisher
    from tiffin.settings import Settings


class ExportContext(NamedTuple):
    """The settings of an export, and where its names, records and files go."""

    settings: Settings
    namer: Namer
    ledger: Ledger
    manifests: Manifests
    publisher: Publisher
