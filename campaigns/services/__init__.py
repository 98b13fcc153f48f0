"""Every write: one verb, one function, one transaction. The five names below are the product's main verbs."""

from campaigns.services.enforcement import enforce_budget, is_within_dayparting
from campaigns.services.rollover import reset_daily_budgets, reset_monthly_budgets
from campaigns.services.spend import log_spend

__all__ = ["enforce_budget", "is_within_dayparting", "log_spend", "reset_daily_budgets", "reset_monthly_budgets"]
