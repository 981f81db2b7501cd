"""Docstrings, comments and pages are plain technical English; CONTRIBUTING.md has the style."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
CODE = (
    *("core/zenskar", "plugins/stripe/zenskar_stripe", "plugins/template/zenskar_template"),
    *("plugins/salesforce/zenskar_salesforce", "plugins/salesforce/tests"),
    *("benchmarks", "examples", "migrations"),
    *(f"tests/{name}" for name in ("crash", "deploy", "drill", "e2e", "kafka", "packaging")),
    *(f"tests/{name}" for name in ("performance", "simulation", "stripe_mock", "support")),
    *(f"tests/{name}" for name in ("catalog", "kernel", "model", "ops")),
    *("tests/api", "tests/console", "tests/sync", "tests/worker"),
    *("tests/fields", "tests/http", "tests/webhooks"),
    *("tests/cli", "tests/plugins", "tests/telemetry", "tests/testing", "plugins/stripe/tests"),
    "plugins/template/tests",
)
INSTALLED = ROOT / "benchmarks" / "peers"
"""The folder of the installed contenders."""
DOCUMENTS = sorted(
    path
    for folder in ("", "docs", "plugins/*", "examples", "examples/*")
    for path in ROOT.glob(f"{folder}/*.md".lstrip("/"))
)
WORDS = {
    r"mend(s|ed|ing)?": "fix, repair",
    r"news": "event, observation, change",
    r"whoever|whomever|whosoever": "name the caller",
    r"(re)?tell(s|ing)?|told": "log, return, report, say",
    r"bur(y|ies|ied|ying)": "dead-letter",
    r"crowds?": "batch, burst",
    r"dice": "random number generator",
    r"turnstiles?": "key gate",
    r"let(s|ting)? go": "release, acknowledge, detach",
    r"g(ive|ives|ave|iven|iving) up": "dead-letter, stop retrying",
    r"work(s|ed|ing)? off": "process",
    r"tak(e|es|ing|en) (it |them |this |all )?in|took (it |them )?in": "apply, receive, import",
    r"come(s)? to (its|their|an) end": "finish, end",
    r"in vain": "without an effect",
    r"set ?backs?": "failure",
    r"lie(s)? in wait|stand(s)? still": "wait",
    r"once more": "again",
    r"beforehand": "before",
    r"thereby|therein|thereof|hereby|wherein": "by this, in it",
    r"for good": "permanently",
    r"by and by|now and then": "periodically",
    r"of its own accord|by itself|by themselves": "automatically",
    r"nobody's": "without an owner",
}
OPENINGS = {
    r"(Have|Has|Let|Lets) ": "use an active verb: 'Wake the workers', not 'Have the workers woken'",
    r"Of (?!these|those)": "begin with the subject",
    r"(What|Who|Whom|Whose|Whoever|Whatever) [^?]*$": "name the noun",
    r"(It|One) ": "name the noun",
}
MOST_WORDS = 20
_BANNED = {re.compile(rf"\b({word})\b", re.IGNORECASE): better for word, better in WORDS.items()}
_OPENINGS = {re.compile(opening): better for opening, better in OPENINGS.items()}
_CODE = re.compile(r"```.*?```|`[^`]*`|<[^>]+>|https?://\S+|\]\([^)]*\)", re.DOTALL)
_DIRECTIVE = re.compile(r"#\s*(noqa|type:|pragma|!)")
_SENTENCE = re.compile(r"(?<=[.!?:])\s+(?=[A-Z])|\n\s*\n|\n\s*[-*|#>]|\n\s*\d+\. ")


class Text(NamedTuple):
    place: str
    text: str
    first_line: bool = False


def texts_of(path: Path) -> Iterator[Text]:
    """Yield the docstrings and the comments of a module."""
    source, name = path.read_text(encoding="utf-8"), str(path.relative_to(ROOT))
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        for child in body if isinstance(body, list) else ():
            value = getattr(child, "value", None)
            text = getattr(value, "value", None)
            if isinstance(child, ast.Expr) and isinstance(text, str):
                first = child is body[0] and not isinstance(node, ast.ClassDef | ast.Module)
                yield Text(f"{name}:{child.lineno}", text, first)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not re.match(
            r"#\s*(noqa|type:|pragma|!)", token.string
        ):
            yield Text(f"{name}:{token.start[0]}", token.string.lstrip("# "))


def problems_of(text: Text) -> Iterator[str]:
    """Yield the words and sentences to change."""
    plain = _CODE.sub("x", text.text)
    for pattern, better in _BANNED.items():
        for found in pattern.finditer(plain):
            yield f"{text.place}: {found.group(0)!r}: {better}"
    sentences = [part.strip() for part in _SENTENCE.split(plain) if part and part.strip()]
    for sentence in sentences:
        for pattern, better in _OPENINGS.items():
            if pattern.match(sentence):
                yield f"{text.place}: {sentence[:60]!r}: {better}"
    first = sentences[0] if sentences else ""
    if text.first_line and len(first.split()) > MOST_WORDS:
        yield f"{text.place}: more than {MOST_WORDS} words: {first[:60]!r}"


def modules() -> list[Path]:
    found = (path for folder in CODE for path in (ROOT / folder).rglob("*.py"))
    return sorted(path for path in found if INSTALLED not in path.parents)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_code_is_documented_in_plain_english(path: Path) -> None:
    assert [each for text in texts_of(path) for each in problems_of(text)] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_are_plain_english(path: Path) -> None:
    text = Text(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
    assert list(problems_of(text)) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Mend a record.", "fix"),
        ("Have a push repeated.", "active verb"),
        ("Of itself it commits.", "subject"),
        ("Read it. What was read is kept.", "noun"),
        ("Let go of a key.", "release"),
        (" ".join(["Word"] * 21), "more than"),
    ],
)
def test_a_problem_is_found(text: str, problem: str) -> None:
    assert any(problem in found for found in problems_of(Text("here", text, first_line=True)))


def test_plain_english_and_code_have_no_problem() -> None:
    text = "Return the `news` of a batch.\n\nRaises `Unavailable`. What is a batch?"
    assert list(problems_of(Text("here", text, first_line=True))) == []


SILENT = ("core/zenskar/cli/commands", "core/zenskar/cli/app.py", "core/zenskar/testing")
"""The docstring of a command is its help, and a check of the kit fails as a test does."""


@pytest.mark.parametrize(
    "path", sorted((ROOT / "core/zenskar").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT))
)
def test_a_public_function_says_that_it_raises(path: Path) -> None:
    if not str(path.relative_to(ROOT)).startswith(SILENT):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        silent = [
            each.name
            for each in public_functions(tree)
            if any(map(is_raise, own_statements(each)))
            and not re.search("[Rr]aise|refuse|[Ff]ail", ast.get_docstring(each) or "")
        ]
        assert silent == []


Function = ast.FunctionDef | ast.AsyncFunctionDef


def public_functions(node: ast.AST) -> Iterator[Function]:
    """Yield the public functions of a module, and the public methods of its public classes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | Function):
            if child.name.startswith("_"):
                continue
            if isinstance(child, Function):
                yield child
            else:
                yield from public_functions(child)


def own_statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of a function, without those of the functions inside of it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, Function | ast.Lambda):
            yield child
            yield from own_statements(child)


def is_raise(node: ast.AST) -> bool:
    """Return whether a statement raises an error, other than that of an abstract method."""
    raised = node.exc if isinstance(node, ast.Raise) else None
    return raised is not None and getattr(raised, "id", "") != "NotImplementedError"
