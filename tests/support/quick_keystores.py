"""Keystores without scrypt, for tests that open many. A wrong passphrase is still refused."""

import pytest

from tessera import hashes
from tessera_host.keys import keystore


def use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the end of the patch."""
    monkeypatch.setattr(keystore, "_derive", lambda phrase, salt: hashes.sha256(phrase.encode(), salt))
