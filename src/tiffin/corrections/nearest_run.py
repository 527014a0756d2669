"""Find a run by its start document, and by when it began."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tiffin.corrections.checks import check_choice, check_number, set_fields
from tiffin.errors import SettingsError
from tiffin.start_document import equal_values, get_nested, start_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Order = Literal["before", "nearest", "after"]


@dataclass(frozen=True, slots=True, init=False)
class Nearest:
    """The run nearest in time whose start document has these values.

    By default only runs that began before the light's run are used, or with it. So a
    replay years later finds the dark that was found live. Of two runs at the same
    distance, the earlier is used; of two that began together, the first by uid.

    Parameters
    ----------
    metadata : mapping, optional
        Key of the start document → value; ``"sample.name"`` is a key inside a key. For
        keys that are no Python names, or are arguments of this class.
    within : float, optional
        The largest distance in time from the light's run [s].
    order : {"before", "nearest", "after"}
        Use runs that began before the light's run, on both sides, or after it.
    **more
        Further keys and values.

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
        order: Order = "before",
        **more: Any,
    ) -> None:
        wanted: dict[Any, Any] = {**dict(metadata), **more}
        if not wanted or not all(isinstance(key, str) and key for key in wanted):
            message = (
                f"Nearest needs keys of the start document and their values, such as "
                f"Nearest(plan_name='dark'), not {wanted!r}"
            )
            raise SettingsError(message)
        check_choice("order", order, Order)
        items = tuple(sorted(wanted.items(), key=lambda item: item[0]))
        if within is not None:
            within = check_number("within", within, least=0)
        set_fields(self, metadata=items, within=within, order=order)

    def __repr__(self) -> str:
        keywords = [(k, v) for k, v in self.metadata if _is_keyword(k)]
        others = {k: v for k, v in self.metadata if not _is_keyword(k)}
        shown = [f"{others!r}"] if others else []
        shown += [f"{key}={value!r}" for key, value in keywords]
        shown += [f"within={self.within!r}"] if self.within is not None else []
        shown += [f"order={self.order!r}"] if self.order != "before" else []
        return f"Nearest({', '.join(shown)})"

    def with_order(self, order: Order) -> Nearest:
        """Return the same query with another order."""
        return Nearest(self.metadata, within=self.within, order=order)

    def matches(self, start: Mapping[str, Any]) -> bool:
        """Return whether a start document has all the values."""
        return all(
            equal_values(get_nested(start, key), value) for key, value in self.metadata
        )

    def in_range(self, start: Mapping[str, Any], light: Mapping[str, Any]) -> bool:
        """Return whether another run began on the right side of a light's, and near."""
        after = start_time(start) - start_time(light)
        side = {"before": after <= 0, "after": after >= 0}.get(self.order, True)
        near = self.within is None or abs(after) <= self.within
        return side and near and start.get("uid") != light.get("uid")


def _is_keyword(key: str) -> bool:
    return key.isidentifier() and key not in ("within", "order")
