"""Runs operations of a Strawberry schema on graphql-core, without work per request but their own.

Strawberry's own per-request machinery (extension objects, exit stacks, its own parse and
validate) is left out: the schema's types and resolvers are used as they are.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

import strawberry
from graphql import (
    ExecutionResult,
    OperationDefinitionNode,
    OperationType,
    create_source_event_stream,
    execute_subscription_event,
    map_source_to_response_event,
)

from infra import metrics
from transport import documents, failures
from transport import limits as limits_module


@dataclass(slots=True)
class Plan:
    """One operation with its variables, accepted as far as that goes without a caller."""

    prepared: documents.Prepared
    operation: OperationDefinitionNode
    variables: dict[str, Any] | None

    @property
    def kind(self) -> OperationType:
        return self.operation.operation

    @property
    def fields(self) -> tuple[str, ...]:
        """The root fields, words of the schema; one that is asked for twice is there twice."""
        return self.prepared.fields(self.operation)

    @property
    def field(self) -> str:
        """The first of them."""
        return self.fields[0]


class Engine:
    """One per schema."""

    def __init__(self, schema: strawberry.Schema, limits: limits_module.Limits) -> None:
        self._limits = limits
        self._schema = schema._schema
        self._executor = schema.execution_context_class
        self._documents = documents.Documents(self._schema, limits)

    def plan(self, query: str, operation_name: str | None, variables: dict | None) -> Plan:
        """What to run; `documents.Unacceptable` if nothing is."""
        prepared = self._documents.prepare(query)
        for name in prepared.page_variables:
            size = (variables or {}).get(name)
            if isinstance(size, (int, float)) and not 1 <= size <= self._limits.page_max:
                raise documents.page_size_refused(self._limits)
        return Plan(prepared, prepared.operation(operation_name), variables)

    async def execute(self, plan: Plan, caller: failures.Caller) -> dict[str, Any]:
        """The response of a query or mutation; without ``data`` if it never ran."""
        started = time.perf_counter()
        executor = self._executor_of(plan, caller)
        if isinstance(executor, dict):
            return executor
        outcome: Any = executor.execute_operation()
        if isawaitable(outcome):
            outcome = await outcome
        metrics.OPERATION_SECONDS.labels(plan.kind.value, plan.field).observe(
            time.perf_counter() - started
        )
        return _response(outcome, caller)

    async def subscribe(
        self, plan: Plan, caller: failures.Caller
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The responses of a subscription; one without ``data`` if it couldn't start.

        Each event is executed for a fresh context, so nothing loaded for one is seen by the next.
        """
        executor = self._executor_of(plan, caller)
        if isinstance(executor, dict):
            yield executor
            return
        source: Any = create_source_event_stream(executor)
        if isawaitable(source):
            source = await source
        if isinstance(source, ExecutionResult):
            yield {"errors": _errors(source, caller)}
            return
        responses = map_source_to_response_event(executor, source, _execute_event)
        try:
            async for outcome in responses:
                yield _response(outcome, caller)
        finally:
            await responses.aclose()

    def _executor_of(self, plan: Plan, caller: failures.Caller) -> Any:
        if plan.prepared.introspects and not caller.may_introspect:
            error = failures.answer(
                "Introspection is not allowed.", "INTROSPECTION_DISABLED", caller.request_id
            )
            return {"errors": [error]}
        executor = self._executor.build(
            self._schema,
            plan.prepared.document,
            context_value=caller,
            raw_variable_values=plan.variables,
            operation_name=plan.operation.name.value if plan.operation.name else None,
            hide_suggestions=True,
        )
        if isinstance(executor, list):
            return {
                "errors": [
                    failures.before_execution(error, caller.request_id) for error in executor
                ]
            }
        return executor


def _execute_event(executor: Any) -> Any:
    executor.context_value = executor.context_value.fresh()
    return execute_subscription_event(executor)


def _response(outcome: ExecutionResult, caller: failures.Caller) -> dict[str, Any]:
    if not outcome.errors:
        return {"data": outcome.data}
    return {"errors": _errors(outcome, caller), "data": outcome.data}


def _errors(outcome: ExecutionResult, caller: failures.Caller) -> list[dict[str, Any]]:
    return [failures.during_execution(error, caller) for error in outcome.errors or ()]
