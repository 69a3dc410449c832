"""The house rules that a program can check: rooms, sizes, names, settings, texts, links."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import io
import json
import re
import string
import subprocess
import sys
import tokenize
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import graphql
import pytest

from domain import refusals
from infra.queue import Job
from infra.settings import Settings
from schema import fields

ROOT = Path(__file__).resolve().parent.parent
ROOMS = (
    *("transport", "schema", "resolvers", "workers", "services", "models", "domain", "infra"),
    "sandbox",
)
TOP_LEVEL = (*ROOMS, "asgi", "migrations", "tests", "benchmarks")
FUNCTION_LINES_MAX = 40
FILE_LINES_MAX = 500

# What is not a noun: the machinery of a room, and the roots that join the nouns.
MACHINERY = {
    "schema": {"callers", "context", "enums", "errors", "fields", "ids", "live", "matrix", "nodes"}
    | {"pagination", "scalars", "staff", "viewer"},
    "resolvers": {"live", "nodes", "security_log", "viewer"},
    "workers": {"outbox", "process", "relay"},
}
# Parts of a noun that is too large for one file.
PARTS = {
    "notice_settings": "notices",
    "payment_methods": "payments",
    "refund_desk": "refunds",
    "verifications": "identity",
}
# Nouns whose verbs live inside a package of services, with the money or with the people.
HOMES = {
    "closings": "identity/closings.py",
    "contact": "identity/contact.py",
    "identity_checks": "identity/checks.py",
    "logins": "identity/logins.py",
    "passkeys": "identity/passkeys.py",
    "phone_changes": "identity/phone_changes.py",
    "phone_replacements": "identity/phone_replacements.py",
    "pins": "identity/pins.py",
    "proof_challenges": "identity/proof_challenges.py",
    "proofs": "identity/proofs.py",
    "password_resets": "identity/password_resets.py",
    "passwords": "identity/passwords.py",
    "recoveries": "identity/recoveries.py",
    "elevations": "identity/elevations.py",
    "registrations": "identity/registration.py",
    "retention": "identity/retention.py",
    "sessions": "identity/sessions.py",
    "staffing": "identity/staffing.py",
    "totp": "identity/totp.py",
    "transactions": "ledger/reading.py",
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources(*rooms: str) -> list[Path]:
    return sorted(path for room in rooms for path in (ROOT / room).rglob("*.py"))


def our_sources() -> list[Path]:
    return [ROOT / "asgi.py", *sources(*ROOMS)]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def functions(node: ast.AST) -> Iterator[Function]:
    return (one for one in ast.walk(node) if isinstance(one, Function))


def place(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def listed(offenders: list[str]) -> str:
    return "\n  ".join(["", *offenders])


@lru_cache(maxsize=1)
def tracked() -> list[Path]:
    """The project's text files: what git tracks or would track."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if names.returncode != 0:
        pytest.skip("not a git checkout: which files are the project's is unknown")
    found = (ROOT / name for name in names.stdout.split("\0") if name)
    return sorted(path for path in found if path.is_file() and _text(path) is not None)


@cache
def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def text_of(path: Path) -> str:
    found = _text(path)
    assert found is not None
    return found


# --- sizes ------------------------------------------------------------------------------------


def test_no_function_is_longer_than_forty_lines() -> None:
    offenders = [
        f"{place(path, one.lineno)} {one.name}: {one.end_lineno - one.lineno + 1} lines"
        for path in our_sources()
        for one in functions(tree(path))
        if one.end_lineno is not None and one.end_lineno - one.lineno >= FUNCTION_LINES_MAX
    ]
    assert not offenders, listed(offenders)


def test_no_file_is_longer_than_five_hundred_lines() -> None:
    paths = [*our_sources(), *sources("tests", "benchmarks")]
    counts = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    offenders = [f"{place(p, n)}: {n} lines" for p, n in counts.items() if n > FILE_LINES_MAX]
    assert not offenders, listed(offenders)


# --- rooms ------------------------------------------------------------------------------------


def test_the_import_contract_is_kept() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    outcome = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_the_domain_is_synchronous() -> None:
    kinds = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    offenders = [
        place(path, node.lineno)
        for path in sources("domain")
        for node in ast.walk(tree(path))
        if isinstance(node, kinds)
    ]
    assert not offenders, listed(offenders)


def _comments(path: Path) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    return {one.start[0]: one.string for one in tokens if one.type == tokenize.COMMENT}


def _says_why(comment: str) -> bool:
    """A bare ``noqa`` is no reason; whatever follows the code is."""
    return len(re.sub(r"#\s*noqa(:\s*[A-Z0-9, ]+)?", "", comment).strip("#- ").split()) >= 2


def test_an_import_inside_a_function_says_why() -> None:
    offenders = []
    for path in [*our_sources(), *sources("tests", "benchmarks")]:
        inner = {
            node.lineno
            for one in functions(tree(path))
            for node in ast.walk(one)
            if isinstance(node, (ast.Import, ast.ImportFrom))
        }
        if inner:
            said = _comments(path)
            offenders += [
                place(path, line)
                for line in sorted(inner)
                if not any(_says_why(said.get(near, "")) for near in (line, line - 1))
            ]
    assert not offenders, listed(offenders)


def test_imports_are_absolute() -> None:
    offenders = [
        place(path, node.lineno)
        for path in our_sources()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and node.level > 0
    ]
    assert not offenders, listed(offenders)


def test_no_dependency_brings_a_package_of_our_name() -> None:
    owners = importlib.metadata.packages_distributions()
    taken = {name: owners[name] for name in TOP_LEVEL if name in owners}
    assert not taken


def test_a_package_file_holds_a_docstring_only() -> None:
    """Except where a package has something to compose."""
    composing = {ROOT / room / "__init__.py" for room in ("schema", "workers", "domain/refusals")}
    offenders = [
        place(path, 1)
        for path in our_sources()
        if path.name == "__init__.py" and path not in composing and len(tree(path).body) != 1
    ]
    assert not offenders, listed(offenders)


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _leaky(node: ast.AST) -> str | None:
    """What is wrong with a call, or None. Only a table's ``save`` is awaited."""
    if isinstance(node, ast.Await) and isinstance(node.value, ast.Call):
        saves = _called(node.value) == "save"
        named = any(word.arg == "update_fields" for word in node.value.keywords)
        return "save without update_fields" if saves and not named else None
    banned = {"in_transaction", "execute_query", "execute_query_dict"}
    return _called(node) if isinstance(node, ast.Call) and _called(node) in banned else None


def test_transactions_and_writes_go_by_the_unit_of_work() -> None:
    """`in_transaction` leaks when cancelled; `save()` writes columns that nobody changed."""
    offenders = [
        f"{place(path, getattr(node, 'lineno', 0))} {wrong}"
        for path in sources("services", "resolvers", "workers")
        for node in ast.walk(tree(path))
        if (wrong := _leaky(node)) is not None
    ]
    assert not offenders, listed(offenders)


# --- one noun, one name -----------------------------------------------------------------------


def nouns(room: str) -> set[str]:
    found = {path.stem for path in (ROOT / room).glob("*.py")} - {"__init__", "__main__"}
    return {PARTS.get(name, name) for name in found - MACHINERY.get(room, set())}


def _has_verbs(noun: str) -> bool:
    services = ROOT / "services"
    homes = (f"{noun}.py", f"{noun}/__init__.py", HOMES.get(noun, ""))
    return any((services / home).is_file() for home in homes if home)


def test_each_noun_of_the_face_has_a_resolver_of_its_name() -> None:
    assert nouns("schema") - nouns("resolvers") == set()


@pytest.mark.parametrize("room", ["resolvers", "workers"])
def test_each_noun_of_a_door_has_a_service_of_its_name(room: str) -> None:
    assert {noun for noun in nouns(room) if not _has_verbs(noun)} == set()


def test_each_table_file_is_named_after_a_noun_that_has_verbs() -> None:
    assert {noun for noun in nouns("models") if not _has_verbs(noun)} == set()


# --- the composed whole -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def composed(development: None) -> Callable[[str], ModuleType]:
    """Imports late: `workers` and `schema` read the settings when they are imported."""
    return importlib.import_module


def test_every_job_has_exactly_one_function(composed: Callable[[str], ModuleType]) -> None:
    jobs = composed("workers").jobs
    assert jobs.functions.keys() | jobs.batches.keys() == {job.value for job in Job}
    assert not jobs.functions.keys() & jobs.batches.keys()


def test_every_way_in_has_an_access_rule(composed: Callable[[str], ModuleType]) -> None:
    assert fields.fields_without_rule(composed("schema").schema) == []


def _placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("refusal", refusals.every(), ids=lambda refusal: refusal.code)
def test_every_refusal_speaks_both_languages(refusal: type[refusals.Refusal]) -> None:
    assert re.search(r"[A-Za-z]", refusal.en)
    assert not re.search(r"[\u4e00-\u9fff]", refusal.en)
    assert re.search(r"[\u4e00-\u9fff]", refusal.zh)
    assert _placeholders(refusal.en) | _placeholders(refusal.zh) <= refusal.fact_types.keys()
    assert (refusal.__doc__ or "").strip()


# --- settings ---------------------------------------------------------------------------------

_KEY = re.compile(r"^(?:# ?)?(WALLET_[A-Z0-9_]+)=(.*)$", re.MULTILINE)


def documented() -> dict[str, str]:
    found = _KEY.findall((ROOT / ".env.example").read_text(encoding="utf-8"))
    assert len(found) == len(dict(found)), "a key is documented twice"
    return dict(found)


def test_every_setting_is_documented_and_nothing_else() -> None:
    assert documented().keys() == {f"WALLET_{name.upper()}" for name in Settings.model_fields}


def test_the_documented_defaults_are_the_defaults() -> None:
    shown = documented()
    for name, field in Settings.model_fields.items():
        default = field.default
        text = default.get_secret_value() if hasattr(default, "get_secret_value") else default
        assert shown[f"WALLET_{name.upper()}"] == str(text), name


# --- texts ------------------------------------------------------------------------------------

_SOMEBODYS = (
    re.compile(r"/(?:home|Users)/[a-z]", re.IGNORECASE),
    re.compile(r"(?<![\w.])/root/\w"),
    re.compile(r"\b[A-Z]:\\+Users\\+\w", re.IGNORECASE),
    re.compile(r"https?://[^/\s\"']*\.(?:internal|corp|lan|intranet)\b"),
    re.compile(r"https?://(?:10\.\d+|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.\d+\.\d+"),
)
_LOCK_HOSTS = {
    "uv.lock": {"pypi.org", "files.pythonhosted.org"},
    "package-lock.json": {"registry.npmjs.org"},
}
_LOCKED_AT = re.compile(r"(?:\"resolved\": |\burl = |\bregistry = )\"(https?://[^\"]+)\"")


def _personal() -> list[re.Pattern[str]]:
    """Paths of whoever runs this, if they are long enough to be nobody else's."""
    own = [path for path in (ROOT, Path.home()) if len(path.parts) > 2]
    return [re.compile(re.escape(str(path)) + r"(?![\w-])") for path in own]


def test_no_text_names_somebodys_machine() -> None:
    patterns = (*_SOMEBODYS, *_personal())
    offenders = [
        place(path, number)
        for path in tracked()
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if any(pattern.search(line) for pattern in patterns)
    ]
    assert not offenders, listed(offenders)


def test_lock_files_name_the_public_registries_only() -> None:
    for path in tracked():
        if path.name in _LOCK_HOSTS:
            hosts = {urlsplit(url).hostname for url in _LOCKED_AT.findall(text_of(path))}
            assert hosts <= _LOCK_HOSTS[path.name], path.relative_to(ROOT)


_FENCED = re.compile(r"^(`{3,})(\w*)[^\n]*\n(.*?)^\1\s*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(<?([^)>\s]+)>?\)|\b(?:src|href)=\"([^\"]+)\"")


def pages() -> list[Path]:
    """Our own documents; the bundled licences are other people's."""
    return [path for path in tracked() if path.suffix == ".md" and "static" not in path.parts]


def _anchors(page: Path) -> set[str]:
    """GitHub's anchors of a page's headings."""
    headings = re.findall(r"^#{1,6} +(.+?) *$", _FENCED.sub("", text_of(page)), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def _resolves(page: Path, link: str) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.exists() or not target.is_relative_to(ROOT):
        return False
    return not parts.fragment or target.suffix != ".md" or parts.fragment in _anchors(target)


def test_every_link_between_documents_leads_somewhere() -> None:
    offenders = [
        f"{page.relative_to(ROOT)} -> {link}"
        for page in pages()
        for link in (a or b for a, b in _LINK.findall(_FENCED.sub("", text_of(page))))
        if not _resolves(page, link)
    ]
    assert not offenders, listed(offenders)


_TEST = re.compile(r"`(test_\w+)`")
_TEST_DEFINED = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)


def test_every_test_that_a_document_names_exists() -> None:
    files = [path for path in tracked() if path.match("test_*.py")]
    defined = {name for path in files for name in _TEST_DEFINED.findall(text_of(path))}
    named = {(page.name, name) for page in pages() for name in _TEST.findall(text_of(page))}
    assert len(named) > 40
    missing = {(page, name) for page, name in named if name not in defined}
    assert not missing, listed(sorted(f"{page}: {name}" for page, name in missing))


def examples(*languages: str) -> list[tuple[str, str]]:
    """The fenced blocks of our documents in these languages, each with where it stands."""
    return [
        (f"{page.relative_to(ROOT)}#{number}", code)
        for page in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))
        for number, (_, language, code) in enumerate(_FENCED.findall(text_of(page)), 1)
        if language in languages
    ]


_QUOTED_QUERY = re.compile(r"'(\{\"query\".*?)'(?= |\n|$|\))", re.DOTALL)


def _documents() -> list[tuple[str, str]]:
    """GraphQL in our documents: blocks of it, and the bodies that shell examples send."""
    sent = [
        (name, json.loads(body)["query"])
        for name, code in examples("bash", "sh")
        for body in _QUOTED_QUERY.findall(code)
    ]
    return [*examples("graphql"), *sent]


@pytest.mark.parametrize(("name", "document"), _documents())
def test_every_graphql_example_fits_the_schema(name: str, document: str) -> None:
    face = graphql.build_schema((ROOT / "schema" / "schema.graphql").read_text(encoding="utf-8"))
    problems = graphql.validate(face, graphql.parse(document))
    assert not problems, f"{name}: {problems}"


@pytest.mark.parametrize(("name", "code"), examples("bash", "sh"))
def test_every_shell_example_parses(name: str, code: str) -> None:
    parsed = subprocess.run(["bash", "-n"], input=code, capture_output=True, text=True, check=False)
    assert parsed.returncode == 0, f"{name}: {parsed.stderr}"
