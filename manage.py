#!/usr/bin/env python
"""The command line of the project: `manage.py help` lists what it can do."""

import os
import signal
import sys


def main() -> None:
    """Run the command that the arguments name."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "budget_management.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit("Django is not installed here. `make setup` prepares .venv; then: .venv/bin/python manage.py")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # Ctrl-C is an answer, not an accident
        print("\nInterrupted.", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
