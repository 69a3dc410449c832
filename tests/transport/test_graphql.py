"""GraphQL over HTTP beyond the public audits: hostile bodies, limits, masking, and the log."""

from __future__ import annotations

import json

import httpx
import pytest

from infra import metrics
from tests.transport import serving
from transport import limits

RESPONSE = "application/graphql-response+json"


@pytest.fixture(scope="module")
def world():
    return serving.World()


@pytest.fixture(scope="module")
def http(world):
    with (
        serving.served(serving.build(world)) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"accept": RESPONSE}) as client,
    ):
        yield client


def post(http, query, variables=None, **headers):
    return http.post("/graphql", json={"query": query, "variables": variables}, headers=headers)


def code(response):
    return response.json()["errors"][0]["extensions"]["code"]


@pytest.mark.parametrize(
    "body",
    [b'"x"', b"null", b"5", b"[]", b"[" * 100_000, b"", b"{", b"\xff", b'{"query": 5}', b"NaN",
     b'{"query": "{ hello }", "variables": []}', b'{"query": "{ hello }", "operationName": {}}',
     b'{"query": "{ hello }", "extensions": 1}', b'[{"query": "{ hello }"}]', b"{}",
     b'{"variables": ' + b'{"a":' * 15_000],
)  # fmt: skip
def test_a_body_that_is_no_request_is_a_400_with_a_code(http, body):
    response = http.post("/graphql", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400, response.text
    assert code(response) == "BAD_REQUEST"
    assert response.json()["errors"][0]["extensions"]["requestId"]


def test_a_body_over_the_limit_is_413_whether_its_length_is_told_or_not(http):
    body = b'{"query": "' + b"x" * 100_000 + b'"}'
    json_type = {"content-type": "application/json"}
    told = http.post("/graphql", content=body, headers=json_type)
    untold = http.post("/graphql", content=iter([body[:60_000], body[60_000:]]), headers=json_type)
    for response in (told, untold):
        assert (response.status_code, code(response)) == (413, "PAYLOAD_TOO_LARGE")


def test_other_methods_types_and_encodings_are_refused_by_their_status(http):
    put = http.put("/graphql", json={"query": "{ hello }"})
    assert (put.status_code, put.headers["allow"]) == (405, "GET, POST")
    form = http.post("/graphql", data={"query": "{ hello }"})
    latin = {"content-type": "application/json; charset=latin-1"}
    zipped = {"content-type": "application/json", "content-encoding": "gzip"}
    assert form.status_code == 415
    assert http.post("/graphql", content=b"{}", headers=latin).status_code == 415
    assert http.post("/graphql", content=b"{}", headers=zipped).status_code == 415
    assert post(http, "{ hello }", accept="text/html").status_code == 406
    assert post(http, "{ hello }", accept="application/json;q=0").status_code == 406


def test_the_media_type_is_negotiated(http):
    for accept, answered in [
        (RESPONSE, RESPONSE),
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        (f"application/json;q=0.5, {RESPONSE}", RESPONSE),
        (f"text/event-stream, {RESPONSE}, application/json", RESPONSE),
    ]:
        response = post(http, "{ hello }", accept=accept)
        assert response.headers["content-type"] == f"{answered}; charset=utf-8"


def test_get_is_for_queries_of_graphql_clients_not_of_links(http):
    followed = http.get("/graphql", params={"query": "{ hello }"}, headers={"accept": "*/*"})
    assert (followed.status_code, code(followed)) == (405, "PREFLIGHT_REQUIRED")
    assert http.get("/graphql", params={"query": "{ hello }"}).status_code == 200
    asked = {"graphql-require-preflight": "1"}
    query = {"query": "query($n: String!) { hello(name: $n) }", "variables": '{"n": "you"}'}
    response = http.get("/graphql", params=query, headers=asked)
    assert response.json() == {"data": {"hello": "Hello you"}}
    mutation = {"query": serving.PAY, "variables": "{}"}
    refused = http.get("/graphql", params=mutation, headers=asked)
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    bad = http.get("/graphql", params={"query": "{ hello }", "variables": "["}, headers=asked)
    assert bad.status_code == 400


def test_a_subscription_over_http_is_told_where_to_go(http):
    response = post(http, "subscription { ticks { number } }")
    assert (response.status_code, code(response)) == (400, "SUBSCRIPTION_NOT_SUPPORTED")


def test_a_mutation_is_answered(http):
    variables = {"input": {"key": "k1", "to": "m1", "nested": {"amount": 7}}}
    assert post(http, serving.PAY, variables).json() == {
        "data": {"pay": {"__typename": "Paid", "id": "k1", "amount": 7, "to": "m1"}}
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("{ helo }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ hello(nam: 1) }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ hello ", "GRAPHQL_PARSE_FAILED"),
        ("query A { hello } query B { hello }", "OPERATION_NOT_FOUND"),
        ("{ __schema { types { name } } }", "INTROSPECTION_DISABLED"),
        ('{ __type(name: "Thing") { name } }', "INTROSPECTION_DISABLED"),
    ],
)
def test_what_never_runs_has_a_code_no_data_and_no_suggestion(http, query, expected):
    for accept, status in ((RESPONSE, 400), ("application/json", 200)):
        response = post(http, query, accept=accept)
        assert (response.status_code, code(response)) == (status, expected)
        assert "data" not in response.json()
        assert "Did you mean" not in response.text


def test_introspection_is_decided_for_each_caller_of_the_same_document(http):
    query = "{ __schema { queryType { name } } }"
    assert code(post(http, query)) == "INTROSPECTION_DISABLED"
    assert post(http, query, authorization="staff").json()["data"]
    assert code(post(http, query)) == "INTROSPECTION_DISABLED"


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("query($input: PayInput!) { hello }", {"input": {"key": "hunter2"}}),
        (serving.PAY, {"input": {"key": "hunter2"}}),
        (serving.PAY, {"input": {"key": "k", "to": "m", "nested": {"amount": "hunter2"}}}),
        (serving.PAY, {"input": {"key": "k", "to": ["hunter2"], "nested": {"amount": 1}}}),
        (serving.PAY, {"input": "hunter2"}),
        ('mutation { pay(input: {key: "hunter2"}) { __typename } }', None),
        ('{ thing(first: "hunter2") { id } }', None),
        ('{ hello "hunter2" }', None),
    ],
)
def test_an_error_never_repeats_what_was_sent(http, query, variables):
    response = post(http, query, variables)
    assert response.status_code == 400
    assert "hunter2" not in response.text


@pytest.mark.parametrize("query", ["{ broken }", "{ unprintable }"])
def test_a_bug_is_masked_with_the_request_id_and_logged_once_without_its_text(http, query, capfd):
    response = post(http, query, **{"x-request-id": "request-12345678"})
    (error,) = response.json()["errors"]
    assert error["extensions"] == {"code": "INTERNAL", "requestId": "request-12345678"}
    written = "".join(capfd.readouterr())
    assert written.count("field_failed") == 1
    assert "request-12345678" in written
    for text in (response.text, written):
        assert "secret" not in text
        assert "13800001111" not in text


def test_an_exception_that_may_be_seen_keeps_its_code_and_the_rest_of_the_data(http):
    response = post(http, "{ hello denied }")
    assert response.status_code == 200
    assert response.json()["data"] == {"hello": "Hello world", "denied": None}
    error = response.json()["errors"][0]
    assert (error["message"], error["path"]) == ("Please sign in.", ["denied"])
    assert error["extensions"]["code"] == "UNAUTHENTICATED"


def test_a_context_that_cannot_be_made_is_a_masked_500(http, capfd):
    response = post(http, "{ hello }", authorization="broken")
    assert (response.status_code, code(response)) == (500, "INTERNAL")
    assert "13800001111" not in response.text + "".join(capfd.readouterr())


def test_a_refused_document_costs_no_context(http, world):
    before = world.contexts
    post(http, "{ nothing }")
    post(http, "query($n: Int!) { thing(first: $n) { id } }", {"n": 101})
    assert world.contexts == before


@pytest.mark.parametrize("size", [0, -1, 101, 2**31 - 1, 1e9])
def test_a_page_size_in_a_variable_is_checked_before_execution(http, size):
    response = post(http, "query($n: Int!) { thing(first: $n) { id } }", {"n": size})
    assert (response.status_code, code(response)) == (400, "BAD_USER_INPUT")


def test_operations_are_counted_by_words_of_the_schema_only(http):
    post(http, "query CallerChosenName { mine: hello }")
    written = metrics.render().decode()
    assert 'wallet_graphql_operation_seconds_count{field="hello",kind="query"}' in written
    assert "CallerChosenName" not in written
    assert "mine" not in written


def test_one_server_answers_many_requests_on_one_connection(http):
    answers = [post(http, "{ hello }").json() for _ in range(50)]
    assert answers == [{"data": {"hello": "Hello world"}}] * 50


def test_smaller_limits_can_be_set():
    bounds = limits.Limits(body_bytes=50)
    with serving.served(serving.build(serving.World(), bounds)) as port:
        response = httpx.post(
            f"http://127.0.0.1:{port}/graphql", json={"query": "{ hello }" + " " * 60}
        )
    assert response.status_code == 413
    assert json.loads(response.content)["errors"][0]["extensions"]["code"] == "PAYLOAD_TOO_LARGE"
