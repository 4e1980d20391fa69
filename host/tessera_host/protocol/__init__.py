"""Formats and connections that members, issuer and relay share (firmware/PROTOCOL.md), without a state of their own."""
