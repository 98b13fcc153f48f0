"""Faults with real processes under load: `make chaos`. What each shows is in docs/reliability.md."""
