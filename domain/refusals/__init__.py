"""Every expected *no* of the product, as one exception class each.

A service raises a refusal; the GraphQL face turns it into the error type of the same name, in the
caller's language. The class is the whole definition: its name gives the code, its docstring says
when it happens (clients read it in the schema), ``en`` and ``zh`` are the texts, and its annotated
attributes are extra facts the client gets (``attempts_left``), which may also be named in the
texts. Texts never contain what the caller sent.

``retryable`` means that the same call with the same key may succeed later, ``watched`` that it goes
into the security log wherever it is raised.
"""

from domain.refusals.general import *
from domain.refusals.identity import *
from domain.refusals.money import *
from domain.spoken import Refusal


def every() -> tuple[type[Refusal], ...]:
    """All refusal classes."""
    return tuple(Refusal.__subclasses__())


def by_code(code: str) -> type[Refusal]:
    """The class of a code; KeyError if there is none."""
    return {refusal.code: refusal for refusal in every()}[code]
