"""Declare the checks of the conformance kit, and keep subclasses from replacing them."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

CheckBody = Callable[[Any], Coroutine[Any, Any, None] | None]
CheckMethod = Callable[[Any], None]
_CAPABILITY = "conformance_capability"
_ALLOWED_MARKS = ("skip", "skipif", "xfail")


def check(capability: str) -> Callable[[CheckBody], CheckMethod]:
    """Declare a method as a check of a capability; a coroutine runs in an event loop of its own."""

    def declare(body: CheckBody) -> CheckMethod:
        def run(self: Any) -> None:
            result = body(self)
            if inspect.iscoroutine(result):
                asyncio.run(result)

        run.__name__, run.__qualname__ = body.__name__, body.__qualname__
        run.__doc__, run.__module__ = body.__doc__, body.__module__
        setattr(run, _CAPABILITY, capability)
        return run

    return declare


def capability_of(method: Any) -> str | None:
    """Return the capability that a method checks, None for any other method."""
    return getattr(method, _CAPABILITY, None)


def checks_of(case: type) -> dict[str, CheckMethod]:
    """Return the checks of a test class by name, in the order of their declaration."""
    found: dict[str, CheckMethod] = {}
    for each in reversed(case.__mro__):
        found.update({name: item for name, item in vars(each).items() if capability_of(item)})
    return found


def require(condition: object, problem: str) -> None:
    """Raise `AssertionError` with a problem unless a condition holds."""
    if not condition:
        raise AssertionError(problem)


def keep_checks(case: type) -> None:
    """Put the checks of the kit back in place of overrides, with the marks of the overrides.

    Raises `TypeError` for an override without a mark `xfail` or `skip` that has a reason.
    """
    for name, original in checks_of(case).items():
        override = getattr(case, name)
        if override is original:
            continue
        marks = [mark for mark in getattr(override, "pytestmark", ()) if _excuses(mark)]
        if not marks:
            raise TypeError(
                f"{case.__name__}.{name} is a check of the kit: mark it xfail or skip, "
                "with a reason, instead of overriding it"
            )
        setattr(case, name, _marked(original, marks))


def reason_of(mark: Any) -> str:
    """Return the reason of a mark, an empty text without one."""
    given = mark.kwargs.get("reason") or (mark.args[0] if mark.name == "skip" and mark.args else "")
    return str(given)


def _excuses(mark: Any) -> bool:
    return mark.name in _ALLOWED_MARKS and bool(reason_of(mark).strip())


def _marked(original: CheckMethod, marks: list[Any]) -> CheckMethod:
    """Return a copy of a check with the marks, which the check of other classes must not get."""
    marked = check(capability_of(original) or "")(original)
    marked.pytestmark = marks  # type: ignore[attr-defined]
    return marked
