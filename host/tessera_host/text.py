"""Text for people: what another person wrote made harmless for a terminal; a number with its noun."""

_JOINERS = "\u200c\u200d"  # inside letters and emoji of many languages; change nothing else


def printable(text: str) -> str:
    """The text with everything a terminal might act on written as its code; line breaks and tabs stay."""
    return "".join(c if c.isprintable() or c in "\n\t" or c in _JOINERS else f"\\u{{{ord(c):x}}}" for c in text)


def count(number: int | str, what: str) -> str:
    """A number, or its digits, with its noun: 1 round, 2 rounds, 1.5 rounds."""
    return f"{number} {what}{'' if str(number) == '1' else 's'}"
