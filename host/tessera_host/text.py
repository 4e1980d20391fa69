"""Text that another person wrote, made harmless before a terminal gets to see it."""

_JOINERS = "\u200c\u200d"  # inside letters and emoji of many languages; change nothing else


def printable(text: str) -> str:
    """The text with everything a terminal might act on written as its code; line breaks and tabs stay."""
    return "".join(c if c.isprintable() or c in "\n\t" or c in _JOINERS else f"\\u{{{ord(c):x}}}" for c in text)
