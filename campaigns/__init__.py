"""Budgets, spend and the verdict whether a campaign may spend now."""
