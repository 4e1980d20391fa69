"""The agent: the one process that keeps a member connected, and the documented asynchronous client."""
