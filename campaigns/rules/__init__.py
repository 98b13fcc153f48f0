"""Pure rules: no Django, no clock, no I/O. Every function gets what it judges on, `now` included."""
