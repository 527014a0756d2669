"""The profiles of tiffin itself: one file for each, with its `Profile` as PROFILE.

`tiffin.writers.registry` finds them by name.
"""
