"""Which axes of an event's array are rows, columns and the samples of a colour."""

from tiffin.axes.placing import COLOURS, Hints, lead_names, place
from tiffin.axes.setting import Axes, AxesSetting

__all__ = ["COLOURS", "Axes", "AxesSetting", "Hints", "lead_names", "place"]
