"""Describe the failure of a plugin in one short line, whatever its own text holds."""

_MOST_CHARACTERS = 500


def one_line(text: str) -> str:
    """Return a text of a plugin as one short line of printable characters."""
    shown = text[: _MOST_CHARACTERS + 1]
    line = " ".join("".join(c if c.isprintable() else " " for c in shown).split())
    return line if len(shown) <= _MOST_CHARACTERS else f"{line[:_MOST_CHARACTERS]}…"


def described(error: BaseException) -> str:
    """Return an error of a plugin as one short line; its type alone if it has no text."""
    try:
        return one_line(repr(error))
    except Exception:  # noqa: BLE001 - the text is code of the plugin too
        return type(error).__name__
