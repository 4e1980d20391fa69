"""The relay on a computer: its process, its storage, its status and its ledger."""
