"""Secrets on disk and in memory: the keystore, the passphrase, the process that keeps a keystore unlocked."""
