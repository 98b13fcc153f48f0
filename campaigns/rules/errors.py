"""The error that people read."""


class BudgetError(Exception):
    """A wish that can't be granted. The message is one clear sentence that says what to do; nothing was changed."""


class InvalidFieldError(BudgetError):
    """A wish of which one field can't be. field: its name, so that a form or an API can point at it."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field
