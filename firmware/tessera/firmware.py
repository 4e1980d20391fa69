# The digest that a checkpoint names the firmware by (PROTOCOL §11): of the core's files, wherever they lie unfrozen.
# A frozen core cannot read itself; its build puts the digest into the module tessera_build.

import os
from hashlib import sha256


def digest_of_files(folder):
    """SHA-256 (32 bytes) over the *.py files of a folder in order of name: name and content with their lengths."""
    digest = sha256(b"")
    for name in sorted(os.listdir(folder)):
        if name.endswith(".py"):
            with open(folder + "/" + name, "rb") as file:
                content = file.read()
            digest.update(bytes((len(name),)) + name.encode() + len(content).to_bytes(4, "big") + content)
    return digest.digest()
