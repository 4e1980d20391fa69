"""Secrets on disk and in memory: the keystore, the passphrase, the process that keeps a keystore unlocked."""

import warnings

# Where a file system has no locks (some network drives), filelock makes a file the lock, which will do, and says so.
warnings.filterwarnings("ignore", "flock not supported", UserWarning)
