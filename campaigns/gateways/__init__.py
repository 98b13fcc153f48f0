"""The wire out and in: what other systems send and receive."""
