"""The tests and what they share; how they are run stands in README.md."""
