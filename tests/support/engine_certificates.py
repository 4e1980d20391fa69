"""Certificates for nodes of a fleet's engine that speak TLS, as an operator's authority signs them."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tessera_host.fleet.nats_configuration import CERTIFICATE, KEY, SIGNERS

_DAY = timedelta(days=1)


class Authority:
    """file: its own certificate."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = _certificate(self._name, self._name, self._key.public_key(), -1, 30)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self._pem = _pem(made.sign(self._key, hashes.SHA256()))
        self.file = folder / f"{name}.crt"
        self.file.write_bytes(self._pem)

    def node(self, folder: Path, address: str, first_day: int = -1, last_day: int = 30) -> Path:
        """The folder, with what a node at this address reads there. Days are counted from today."""
        folder.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
        made = _certificate(named, self._name, key.public_key(), first_day, last_day)
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
        made = made.add_extension(names, critical=False)
        (folder / CERTIFICATE).write_bytes(_pem(made.sign(self._key, hashes.SHA256())))
        form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        (folder / KEY).write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
        (folder / SIGNERS).write_bytes(self._pem)
        return folder


def _certificate(
    named: x509.Name, by: x509.Name, key: ec.EllipticCurvePublicKey, first_day: int, last_day: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(named).issuer_name(by).public_key(key)
    made = made.serial_number(x509.random_serial_number())
    return made.not_valid_before(now + first_day * _DAY).not_valid_after(now + last_day * _DAY)


def _pem(made: x509.Certificate) -> bytes:
    return made.public_bytes(serialization.Encoding.PEM)
