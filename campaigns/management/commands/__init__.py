"""One command a module; each reads its arguments and the clock, and calls a service."""
