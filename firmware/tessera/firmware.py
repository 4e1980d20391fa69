# The digest by which a checkpoint names the firmware (PROTOCOL §11), computed from the core's files. A frozen core has
# no files to read, so the build of an image puts the digest into the module tessera_build.

import os
from hashlib import sha256


def digest_of_files(folder):
    """SHA-256 (32 bytes) of the *.py files of a folder, in the order of their names.

    Each file adds the length of its name (1 byte), its name, the length of its content (4 bytes) and its content.
    """
    digest = sha256(b"")
    for name in sorted(os.listdir(folder)):
        if name.endswith(".py"):
            with open(folder + "/" + name, "rb") as file:
                content = file.read()
            digest.update(bytes((len(name),)) + name.encode() + len(content).to_bytes(4, "big") + content)
    return digest.digest()
