"""What a *no* is made of; `domain.refusals` has them all."""

import inspect
import re
from typing import Any, ClassVar, get_type_hints

_WORD_START = re.compile(r"(?<!^)(?=[A-Z])")


class Spoken(Exception):
    """What refusals and denials share: a code, and a text in two languages."""

    code: ClassVar[str]
    watched: ClassVar[bool] = False
    logged = False
    """Set on an occurrence once the security log has it."""
    en: str
    zh: str

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "code" not in cls.__dict__:
            cls.code = _WORD_START.sub("_", cls.__name__).upper()

    def facts(self) -> dict[str, Any]:
        """The extra facts of this occurrence, by name."""
        return {}

    def message(self, language: str) -> str:
        """The text for a person: Chinese for a language that starts with ``zh``, else English."""
        template = self.zh if language.lower().startswith("zh") else self.en
        return template.format(**self.facts())

    def __str__(self) -> str:
        return self.code


class Refusal(Spoken):
    """The base of all refusals; never raised itself.

    ``path`` names the input field at fault as the client wrote it, for instance
    ``("input", "amount", "amount")``. The facts are keyword arguments and all are required.
    """

    retryable: ClassVar[bool] = False
    fact_types: ClassVar[dict[str, type]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        hints = get_type_hints(cls)
        cls.fact_types = {name: hints[name] for name in inspect.get_annotations(cls)}

    def __init__(self, *, path: tuple[str, ...] | None = None, **params: Any) -> None:
        if params.keys() != self.fact_types.keys():
            raise TypeError(f"{type(self).__name__} takes exactly {sorted(self.fact_types)}")
        super().__init__()
        self.path = path
        self.params = params

    def __getattr__(self, name: str) -> Any:
        # Reached only for facts: everything else is an ordinary attribute.
        params = self.__dict__.get("params", {})
        if name in params:
            return params[name]
        raise AttributeError(name)

    def facts(self) -> dict[str, Any]:
        return self.params
