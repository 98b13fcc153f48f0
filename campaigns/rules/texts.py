"""Text that came from outside: what may be stored and shown."""

from __future__ import annotations

MAX_NOTE = 500
"""The most characters of a note."""


class TextError(ValueError):
    """A text that can't be accepted; the message is one sentence for people."""


def is_plain(text: str) -> bool:
    """Return whether a text has no control characters and no halves of a pair; line breaks and tabs may be."""
    return text.replace("\n", " ").replace("\t", " ").isprintable()


def check_note(note: str) -> None:
    """Raise TextError for a note that is too long or no plain text; an empty one is fine."""
    if len(note) > MAX_NOTE:
        raise TextError(f"The note is longer than {MAX_NOTE} characters; shorten it.")
    if not is_plain(note):
        raise TextError("The note has control characters; send plain text.")
