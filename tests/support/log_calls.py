"""The log calls of the code, found by reading it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


@dataclass(frozen=True)
class LogCall:
    """A log call: its event name, its keywords, and its file."""

    event: str
    keywords: tuple[str, ...]
    path: Path


def log_calls(folder: Path) -> Iterator[LogCall]:
    """Yield every log call of the Python files in a folder."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            found = _log_call(node, path)
            if found is not None:
                yield found


def _log_call(node: ast.AST, path: Path) -> LogCall | None:
    if isinstance(node, ast.Call) and _is_log(node.func) and node.args:
        first = node.args[0]
        assert isinstance(first, ast.Constant), f"an event name is a constant: {ast.unparse(node)}"
        keywords = tuple(k.arg for k in node.keywords if k.arg is not None)
        return LogCall(str(first.value), keywords, path)
    if isinstance(node, ast.Assign) and "record.msg" in ast.unparse(node.targets[0]):
        values = [v.value for v in ast.walk(node.value) if isinstance(v, ast.Constant)]
        return LogCall(str(values[0]), (), path)
    return None


def _is_log(function: ast.expr) -> bool:
    """`_log.warning` or `getattr(_log, level)`."""
    if isinstance(function, ast.Attribute):
        return function.attr in LEVELS and ast.unparse(function.value).endswith("log")
    return isinstance(function, ast.Call) and ast.unparse(function).startswith("getattr(_log,")
