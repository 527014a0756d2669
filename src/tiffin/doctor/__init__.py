"""Find out what works here, what does not, and what will be slow.

Each check returns a list of `CheckResult`, which says what to do.
"""

from tiffin.doctor.check_result import CheckResult
from tiffin.doctor.folder import check_folder
from tiffin.doctor.installation import check_installation
from tiffin.doctor.source import check_source

__all__ = ["CheckResult", "check_folder", "check_installation", "check_source"]
