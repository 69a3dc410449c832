"""How types refer to the caller's root, which is put together from all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import strawberry

from resolvers.viewer import Viewer as Caller

if TYPE_CHECKING:
    from schema.viewer import Viewer

LazyViewer = Annotated["Viewer", strawberry.lazy("schema.viewer")]


def of(caller: Caller) -> Viewer:
    """The root of a caller."""
    # Late, because schema.viewer builds on this module; the module is loaded by then.
    from schema.viewer import Viewer  # noqa: PLC0415

    return Viewer(caller=caller)
