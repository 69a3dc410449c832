"""From a query's text to a document that is safe to execute, once per text.

Everything that depends on the text alone is done here and remembered: parsing, limits,
validation, and notes on what has to be checked per request (introspection, page sizes in
variables). Texts that aren't accepted are not remembered, so they can't push others out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    parse,
    specified_rules,
    validate,
)
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule

from transport import limits as limits_module

RULES = (*specified_rules, MaybeNullValidationRule)
_ERRORS_MAX = 3
_PAGE_ARGUMENTS = frozenset({"first", "last"})


class Unacceptable(Exception):
    """A request that is refused before execution, with the errors to answer."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__(len(errors))
        self.errors = errors


@dataclass(slots=True)
class Prepared:
    """An accepted document, and what is left to check per request."""

    document: DocumentNode
    operations: dict[str, OperationDefinitionNode]
    introspects: bool
    page_variables: frozenset[str]
    roots: dict[str, tuple[str, ...]]

    def fields(self, operation: OperationDefinitionNode) -> tuple[str, ...]:
        """The names of an operation's root fields, inside fragments as well."""
        return self.roots[operation.name.value if operation.name else ""]

    def operation(self, name: str | None) -> OperationDefinitionNode:
        """The operation to run; Unacceptable if `name` doesn't choose exactly one."""
        if name is None and len(self.operations) == 1:
            return next(iter(self.operations.values()))
        if name is not None and name in self.operations:
            return self.operations[name]
        message = "Unknown operation." if name else "Which operation? Give operationName."
        raise refused(message, "OPERATION_NOT_FOUND")


class Documents:
    """The documents of one schema, parsed and validated within `limits`."""

    def __init__(self, schema: GraphQLSchema, limits: limits_module.Limits) -> None:
        self._schema = schema
        self._limits = limits
        self._remembered = lru_cache(limits.cached_documents)(self._prepare)

    def prepare(self, query: str) -> Prepared:
        """The accepted document of a text; Unacceptable otherwise."""
        if len(query) <= self._limits.cached_document_characters:
            return self._remembered(query)
        return self._prepare(query)

    def _prepare(self, query: str) -> Prepared:
        try:
            document = parse(query, max_tokens=self._limits.tokens)
            survey = Survey(document, self._limits)
            errors = validate(
                self._schema, document, RULES, max_errors=_ERRORS_MAX, hide_suggestions=True
            )
        except GraphQLError as error:
            error.extensions = {"code": "GRAPHQL_PARSE_FAILED"}
            raise Unacceptable([error]) from None
        except RecursionError:
            raise refused("The document is nested too deeply.", "DOCUMENT_TOO_COMPLEX") from None
        for error in errors:
            error.extensions = {"code": "GRAPHQL_VALIDATION_FAILED"}
        if errors:
            raise Unacceptable(errors[:_ERRORS_MAX])
        return Prepared(
            document,
            survey.operations,
            survey.introspects,
            frozenset(survey.page_variables),
            {name: tuple(survey.roots(one)) for name, one in survey.operations.items()},
        )


def refused(message: str, code: str) -> Unacceptable:
    """The refusal of a request with one error."""
    return Unacceptable([GraphQLError(message, extensions={"code": code})])


def page_size_refused(limits: limits_module.Limits) -> Unacceptable:
    return refused(f"A page has 1 to {limits.page_max} elements.", "BAD_USER_INPUT")


@dataclass(slots=True)
class _Tally:
    """What a selection set amounts to once its fragments are expanded."""

    depth: int = 0
    fields: int = 0
    aliases: int = 0
    names: Counter[str] = field(default_factory=Counter)


class Survey:
    """One walk over a document that measures it, before the costly rules see it.

    Unacceptable if it is over a limit. Fragments are measured once and counted at every spread,
    as the executor would meet them; cycles are left to validation.
    """

    def __init__(self, document: DocumentNode, limits: limits_module.Limits) -> None:
        self._limits = limits
        self._fragments: dict[str, FragmentDefinitionNode] = {}
        self._measured: dict[str, _Tally] = {}
        self.operations: dict[str, OperationDefinitionNode] = {}
        self.introspects = False
        self.page_variables: set[str] = set()
        for definition in document.definitions:
            if isinstance(definition, FragmentDefinitionNode):
                self._fragments[definition.name.value] = definition
            elif isinstance(definition, OperationDefinitionNode):
                self.operations[definition.name.value if definition.name else ""] = definition
        for operation in self.operations.values():
            self._check(self._measure(operation.selection_set, level=1))
        for name in self._fragments:
            self._fragment(name, level=1)
        for operation in self.operations.values():
            self._check_defaults(operation)

    def roots(self, operation: OperationDefinitionNode) -> Iterator[str]:
        """The root fields of an operation. Only of a valid document: others may have cycles."""
        return self._fields_of(operation.selection_set)

    def _fields_of(self, selections: SelectionSetNode) -> Iterator[str]:
        for selection in selections.selections:
            if isinstance(selection, FieldNode):
                yield selection.name.value
            elif isinstance(selection, InlineFragmentNode):
                yield from self._fields_of(selection.selection_set)
            elif isinstance(selection, FragmentSpreadNode):
                yield from self._fields_of(self._fragments[selection.name.value].selection_set)

    def _measure(self, selections: SelectionSetNode, *, level: int) -> _Tally:
        if level > self._limits.depth + 1:
            raise refused("The document is nested too deeply.", "DOCUMENT_TOO_COMPLEX")
        tally = _Tally()
        for selection in selections.selections:
            if isinstance(selection, FieldNode):
                self._add_field(tally, selection, level=level)
            elif isinstance(selection, InlineFragmentNode):
                self._merge(tally, self._measure(selection.selection_set, level=level))
            elif isinstance(selection, FragmentSpreadNode):
                self._merge(tally, self._fragment(selection.name.value, level=level))
        self._check(tally)
        return tally

    def _add_field(self, tally: _Tally, node: FieldNode, *, level: int) -> None:
        name = node.name.value
        tally.fields += 1
        tally.aliases += node.alias is not None
        tally.names[node.alias.value if node.alias else name] += 1
        tally.depth = max(tally.depth, 1)
        if name in ("__schema", "__type"):
            # Introspection has its own rule for depth, and is for few.
            self.introspects = True
            return
        self._note_pages(node)
        if node.selection_set:
            inner = self._measure(node.selection_set, level=level + 1)
            tally.depth = max(tally.depth, inner.depth + 1)
            tally.fields += inner.fields
            tally.aliases += inner.aliases

    def _merge(self, tally: _Tally, inner: _Tally) -> None:
        tally.depth = max(tally.depth, inner.depth)
        tally.fields += inner.fields
        tally.aliases += inner.aliases
        tally.names.update(inner.names)

    def _fragment(self, name: str, *, level: int) -> _Tally:
        if name not in self._measured:
            self._measured[name] = _Tally()
            if name in self._fragments:
                self._measured[name] = self._measure(
                    self._fragments[name].selection_set, level=level
                )
        return self._measured[name]

    def _check(self, tally: _Tally) -> None:
        limits = self._limits
        if tally.depth > limits.depth:
            raise refused("The document is nested too deeply.", "DOCUMENT_TOO_COMPLEX")
        if tally.aliases > limits.aliases:
            raise refused("The document has too many aliases.", "DOCUMENT_TOO_COMPLEX")
        most = max(tally.names.values(), default=0)
        if tally.fields > limits.fields or most > limits.duplicates:
            raise refused("The document selects too many fields.", "DOCUMENT_TOO_COMPLEX")

    def _note_pages(self, node: FieldNode) -> None:
        for argument in node.arguments or ():
            if argument.name.value not in _PAGE_ARGUMENTS:
                continue
            if isinstance(argument.value, VariableNode):
                self.page_variables.add(argument.value.name.value)
            elif isinstance(argument.value, IntValueNode):
                self._check_page(argument.value)

    def _check_defaults(self, operation: OperationDefinitionNode) -> None:
        for definition in operation.variable_definitions or ():
            if definition.variable.name.value in self.page_variables and isinstance(
                definition.default_value, IntValueNode
            ):
                self._check_page(definition.default_value)

    def _check_page(self, value: IntValueNode) -> None:
        text = value.value
        if len(text) > 6 or not 1 <= int(text) <= self._limits.page_max:
            raise page_size_refused(self._limits)
