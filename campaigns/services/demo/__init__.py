"""The demo: a dozen brands with a month of history, and spend that keeps coming. It uses the product's own doors."""

from campaigns.services.demo.reporter import Tick, report
from campaigns.services.demo.seed import seed

__all__ = ["Tick", "report", "seed"]
