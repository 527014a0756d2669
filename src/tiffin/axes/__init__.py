"""Which axes of an event's array are rows, columns and the samples of a colour."""

from tiffin.axes.placing import COLOURS, ArrayHints, lead_names, place
from tiffin.axes.setting import Axes, AxesSetting

__all__ = ["COLOURS", "Axes", "AxesSetting", "ArrayHints", "lead_names", "place"]
