"""Another run, asked for by what its start document holds and when it began."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from tiffin.corrections.order import Order, check_order
from tiffin.errors import FieldError, NoImageError, SettingsError
from tiffin.start_document import equal_values, get_nested, start_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tiffin.corrections.step import Reference, RunView
    from tiffin.frames import Frame

__all__ = ["Nearest", "find_nearest"]

MOST = 100
"""So many runs are looked at for one that fits, each of which may cost requests."""

SHOWN = 3
"""So many of those that did not fit are told of."""


@dataclass(frozen=True, slots=True, init=False)
class Nearest:
    """The run nearest in time whose start document holds this.

    Only runs that began before the light's run, or with it, are asked: so a replay,
    years later, takes the dark that the export took live. With ``order="nearest"``
    those that began after it are asked, too, and with ``order="after"`` only those; of
    two equally far, the one before is taken, and of two that began together the one
    whose uid comes first.

    Parameters
    ----------
    metadata : mapping, optional
        Key of the start document → value; ``"sample.name"`` is a key inside a key. For
        keys that are no Python names, or are called as the arguments below.
    within : float, optional
        At most so far from the light's run [s].
    later : bool
        The same as ``order="nearest"``.
    order : {"before", "nearest", "after"}
        When the run began, seen from the light's.
    **more
        Further keys and values.

    Raises
    ------
    SettingsError
        If nothing is asked for, `within` is no time, or `order` none of these.

    Examples
    --------
    >>> Nearest(plan_name="dark", within=3600)
    Nearest(plan_name='dark', within=3600)
    >>> Nearest({"sample.name": "Ni"}).matches({"sample": {"name": "Ni"}})
    True
    """

    metadata: tuple[tuple[str, Any], ...]
    within: float | None
    order: Order

    def __init__(
        self,
        metadata: Mapping[str, Any] | Iterable[tuple[str, Any]] = (),
        /,
        *,
        within: float | None = None,
        later: bool = False,
        order: Order | None = None,
        **more: Any,
    ) -> None:
        wanted: dict[Any, Any] = {**dict(metadata), **more}
        if not wanted or not all(isinstance(key, str) and key for key in wanted):
            message = (
                f"Nearest needs keys of the start document and their values, as in "
                f"Nearest(plan_name='dark'), not {wanted!r}"
            )
            raise SettingsError(message)
        object.__setattr__(self, "metadata", tuple(sorted(wanted.items(), key=_key)))
        object.__setattr__(self, "within", _seconds(within))
        if order is None:
            order = "nearest" if later else "before"
        elif later and order != "nearest":
            message = f"later=True is order='nearest', and order={order!r} is given too"
            raise SettingsError(message)
        object.__setattr__(self, "order", check_order(order))

    def __repr__(self) -> str:
        plain = [(k, v) for k, v in self.metadata if _is_plain(k)]
        other = {k: v for k, v in self.metadata if not _is_plain(k)}
        told = [f"{other!r}"] if other else []
        told += [f"{key}={value!r}" for key, value in plain]
        told += [f"within={self.within!r}"] if self.within is not None else []
        side = {"nearest": ["later=True"], "after": ["order='after'"]}
        return f"Nearest({', '.join([*told, *side.get(self.order, [])])})"

    def with_order(self, order: Order) -> Nearest:
        """Return the same query on another side of the light's run."""
        return Nearest(self.metadata, within=self.within, order=order)

    def matches(self, start: Mapping[str, Any]) -> bool:
        """Whether a start document holds all that is asked for."""
        return all(
            equal_values(get_nested(start, key), value) for key, value in self.metadata
        )

    def reaches(self, start: Mapping[str, Any], light: Mapping[str, Any]) -> bool:
        """Whether a run began near enough to the light's, and is another one."""
        after = start_time(start) - start_time(light)
        return (
            start.get("uid") != light.get("uid")
            and (
                self.order == "nearest"
                or (after <= 0 if self.order == "before" else after >= 0)
            )
            and (self.within is None or abs(after) <= self.within)
        )


def _key(item: tuple[str, Any]) -> str:
    return item[0]


def _is_plain(key: str) -> bool:
    return key.isidentifier() and key not in ("within", "later", "order")


def _seconds(within: Any) -> float | None:
    if within is None:
        return None
    is_number = isinstance(within, (int, float)) and not isinstance(within, bool)
    if not is_number or not 0 <= within < math.inf:
        message = f"within is a number of seconds from 0, not {within!r}"
        raise SettingsError(message)
    seconds: float = within
    return seconds


def find_nearest(
    query: Nearest,
    frame: Frame,
    run: RunView,
    catalog: Any,
    differs: Callable[[Reference], str | None],
) -> tuple[Sequence[Reference], str]:
    """Find the nearest run whose images of a frame's field are like the frame.

    Parameters
    ----------
    query : Nearest
    frame : Frame
    run : RunView
    catalog : object
        Where to look; None for where the export looks.
    differs : callable
        Tells in what an image is unlike the frame; None if in nothing.

    Returns
    -------
    found : sequence of Reference
        One an event; none if no run fits.
    why : str
        How many were looked at, and in what they did not fit.
    """
    unfit: list[str] = []
    for start in islice(run.near(query, catalog), MOST):
        uid = str(start["uid"])
        try:
            found = run.of_run(uid, frame.field, catalog)
        except (FieldError, NoImageError) as error:
            unfit.append(f"run {uid[:8]}: {error}")
            continue
        whys = [why for reference in found if (why := differs(reference))]
        if found and not whys:
            return found, ""
        whys = whys or [f"it has no image of {frame.field!r}"]
        unfit.append(f"run {uid[:8]}: {whys[0]}")
    return [], _why(query, unfit)


def _why(query: Nearest, unfit: Sequence[str]) -> str:
    which = f"{query!r}"
    if not unfit:
        hint = {
            "before": ", that began before it (order='nearest' looks on)",
            "after": ", that began after it, so far",
        }.get(query.order, "")
        return f"there is no other run for {which}{hint}"
    looked = f"{len(unfit)} run(s) looked at for {which}, and none fits"
    more = [f"{len(unfit) - SHOWN} more"] * (len(unfit) > SHOWN)
    return f"{looked}: {'; '.join([*unfit[:SHOWN], *more])}"
