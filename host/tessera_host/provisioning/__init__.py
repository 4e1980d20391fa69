"""From a board on a cable to a relay in service."""
