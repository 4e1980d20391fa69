"""A fleet: several gateways on several hosts that are one relay, because they replay one log."""
