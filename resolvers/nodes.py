"""Fetching objects by id, whatever they are; each kind keeps its own rule of who may see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from domain import refusals
from resolvers.viewer import SIGNED_IN, Viewer, access

Load = Callable[[Viewer, list[str]], Awaitable[Mapping[str, Any]]]
Name = tuple[str, str]
IDS_MAX = 100


@access(SIGNED_IN)
async def found(
    viewer: Viewer, wanted: Sequence[Name | None], loads: Mapping[str, Load]
) -> list[Any]:
    """The objects of (kind, key) names in their order; None for what isn't the caller's to see.

    One call of a kind's loader for all its keys. Raises InvalidInput for more than 100 names.
    """
    if len(wanted) > IDS_MAX:
        raise refusals.InvalidInput(path=("ids",))
    keys: dict[str, dict[str, None]] = {}
    for name in wanted:
        if name is not None and name[0] in loads:
            keys.setdefault(name[0], {})[name[1]] = None
    objects: dict[Name, Any] = {}
    for kind, wanted_keys in keys.items():
        try:
            loaded = await loads[kind](viewer, list(wanted_keys))
        except (refusals.Denied, refusals.AccountNotActive):
            continue  # as if there were no such thing
        objects.update({(kind, key): made for key, made in loaded.items()})
    return [objects.get(name) if name is not None else None for name in wanted]
