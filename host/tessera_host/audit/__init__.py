"""What an auditor computes from a relay's published ledger and from the signed sets."""
