"""A certificate that signs itself, for servers that speak TLS."""

import subprocess
from pathlib import Path


def make_certificate(folder: Path, names: str) -> tuple[Path, Path]:
    """fullchain.pem and privkey.pem in the folder; names as openssl has them, like DNS:localhost."""
    made = folder / "fullchain.pem", folder / "privkey.pem"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-days", "2", "-subj", "/CN=relay", "-addext", f"subjectAltName={names}"]
    subprocess.run([*words, "-out", made[0], "-keyout", made[1]], check=True, capture_output=True)
    return made
