"""The error that people read."""


class BudgetError(Exception):
    """A wish that can't be granted. The message is one clear sentence that says what to do; nothing was changed."""
