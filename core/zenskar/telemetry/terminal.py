"""Text of others on a terminal: nothing in it moves the cursor, colours, or feigns a line."""

import re

_NOT_ASCII = re.compile(r"[^\x00-\x7e]")


def printable(text: str) -> str:
    """Return a text in which nothing commands the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def printable_lines(text: str) -> str:
    """Return the same for a text of several lines."""
    return "\n".join(printable(line) for line in text.replace("\t", "    ").split("\n"))


def printable_json(text: str) -> str:
    """Return JSON in which what would command the terminal is escaped, as JSON escapes it."""
    return _NOT_ASCII.sub(lambda found: _escaped(found[0]), text)


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
