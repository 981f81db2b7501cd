"""Escape foreign text for a terminal, so that it cannot move the cursor, colour or forge a line."""

import re

_NOT_ASCII = re.compile(r"[^\x00-\x7e]")


def printable(text: str) -> str:
    """Return a text with its control characters escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def printable_lines(text: str) -> str:
    """Return a text of several lines with the control characters of each line escaped."""
    return "\n".join(printable(line) for line in text.replace("\t", "    ").split("\n"))


def printable_json(text: str) -> str:
    """Return JSON with its control characters as JSON escapes."""
    return _NOT_ASCII.sub(lambda found: _escaped(found[0]), text)


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
