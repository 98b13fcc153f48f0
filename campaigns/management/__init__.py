"""What is run from the command line, and the supervisor behind `manage.py up`."""
