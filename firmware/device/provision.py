# Makes a relay of a blank board. The host calls these functions over the serial line while the board is at its prompt.
# Each prints one line, JSON and its CRC-32, as bridges on serial lines do not check for errors. The host sends what IT
# knows. The relay's keys and seed are drawn here and never leave the board.
#
# The order is: make_keys, put and finish (parameters), configure. relay.json is written last and makes the board a
# relay. Every function may be called again, so if the cable is pulled at any moment only that call is lost.

import json
import os
from binascii import a2b_base64, crc32, hexlify, unhexlify
from hashlib import sha256

import tessera
from tessera import curve
from tessera.drbg import RelayGenerator
from tessera.errors import Error
from tessera.files import Directory
from tessera.nor import SECTOR_BYTES

_CONFIGURATION = "relay.json"
_KEYS = "keys"  # file of static and ledger secret (64 bytes), until relay.json holds them
_SEED = "seed"
_PARAMETERS = "parameters"
_PARTIAL = ".part"
_VERSION = 1
_OWN = ("version", "static_secret", "ledger_secret", "ring_sectors", "keyring_sectors")  # written by the board itself
_ASKED = ("name", "host", "port", "sntp", "wifi", "address", "hostname", "repl", "mhz", "timing", "sessions")


class Provisioning:
    """The board's side of provisioning. Error if a call cannot be obeyed.

    directory: a Directory. build: the module tessera_build. chip_id: bytes. random_source(n) -> bytes. problem: in
    words why there is no file system, or None.
    """

    def __init__(self, directory, build, chip_id, random_source, problem=None):
        self._directory = directory
        self._build = build
        self._chip_id = chip_id
        self._random_source = random_source
        self._problem = problem

    def identify(self):
        """What this board is (a dict). "provisioned" is the relay's name or None."""
        configuration = self._configuration()
        return {
            "board": self._build.BOARD,
            "version": tessera.VERSION,
            "firmware_digest": _hex(self._build.FIRMWARE_DIGEST),
            "chip_id": _hex(self._chip_id),
            "provisioned": None if configuration is None else configuration["name"],
            "partitions": self._build.PARTITIONS,
            "problem": self._problem,
        }

    def make_keys(self, host_seed):
        """Draw the relay's two secrets and its first seed, once. Returns its public keys.

        host_seed (32 bytes in hex), the hardware's random bytes and the chip id are the three sources (PROTOCOL §1).
        None of them determines the secrets alone.
        """
        secrets = self._secrets()
        if secrets is None:
            generator = RelayGenerator(_unhex(host_seed, 32), 0, self._chip_id, self._random_source)
            curve.randomize(generator.random(32))
            secrets = _secret(generator), _secret(generator)
            self._directory.replace(_SEED, generator.random(32))
            self._directory.replace(_KEYS, secrets[0] + secrets[1])
        return {"key": _hex(curve.public(secrets[0])), "ledger_key": _hex(curve.public(secrets[1])[1:])}

    def put(self, name, offset, data):
        """Write a piece (base64) of a file at its offset. Pieces come in order; a piece may be repeated."""
        _check_name(name)
        content = a2b_base64(data)
        there = self._directory.size(name + _PARTIAL)
        if offset == 0:
            self._directory.remove(name + _PARTIAL)
        elif offset < there and self._directory.read_at(name + _PARTIAL, offset, len(content)) == content:
            return {"bytes": there}
        elif offset != there:
            raise Error("the board has {} bytes and got a piece for {}: begin again".format(there, offset))
        self._directory.append(name + _PARTIAL, content)
        return {"bytes": offset + len(content)}

    def finish(self, name, digest):
        """Check the whole file by its SHA-256 (hex) and put it in its place, at once."""
        _check_name(name)
        if self._directory.size(name + _PARTIAL):
            if self._digest(name + _PARTIAL) != digest:
                self._directory.remove(name + _PARTIAL)
                raise Error("'{}' arrived damaged: send it again".format(name))
            self._directory.rename(name + _PARTIAL, name)
        if self._digest(name) != digest:
            raise Error("the board has a different '{}': send it again".format(name))
        return {"sha256": digest}

    def configure(self, text):
        """Take the configuration (JSON): from now on the board is a relay. If it is one already it keeps name and
        keys."""
        asked = json.loads(text)
        for name in asked:
            if name not in _ASKED:
                raise Error("unknown setting '{}'".format(name))
        present, secrets = self._configuration(), self._secrets()
        if present is not None and present["name"] != asked["name"]:
            raise Error("this board is the relay '{}': reset it first".format(present["name"]))
        if secrets is None:
            raise Error("the relay has no keys yet: call make_keys first")
        if self._directory.read(_PARAMETERS) is None:
            raise Error("the relay has no parameters yet: send them first")
        asked["version"] = _VERSION
        asked["static_secret"], asked["ledger_secret"] = _hex(secrets[0]), _hex(secrets[1])
        for name in ("ring", "keyring"):
            asked[name + "_sectors"] = self._build.PARTITIONS[name][1] // SECTOR_BYTES
        self._directory.replace(_CONFIGURATION, json.dumps(asked).encode())
        self._directory.remove(_KEYS)
        return {"provisioned": asked["name"]}

    def readback(self, nonce):
        """What is on the flash: the configuration without its secrets, and digests of the rest.

        In place of the Wi-Fi password there is the SHA-256 of nonce (hex) and password, for comparison.
        """
        configuration = self._configuration() or {}
        wifi = configuration.get("wifi", {})
        if "password" in wifi:
            wifi["password"] = _hex(sha256(unhexlify(nonce) + wifi["password"].encode()).digest())
        for name in _OWN:
            configuration.pop(name, None)
        secrets = self._secrets()
        return {
            "configuration": configuration,
            "parameters": self._digest(_PARAMETERS),
            "seed": self._directory.size(_SEED),
            "key": None if secrets is None else _hex(curve.public(secrets[0])),
            "ledger_key": None if secrets is None else _hex(curve.public(secrets[1])[1:]),
        }

    def _configuration(self):
        text = None if self._problem else self._directory.read(_CONFIGURATION)
        return None if text is None else json.loads(text)

    def _secrets(self):
        configuration = self._configuration()
        if configuration is not None:
            return unhexlify(configuration["static_secret"]), unhexlify(configuration["ledger_secret"])
        keys = self._directory.read(_KEYS)
        return None if keys is None or len(keys) != 64 else (keys[:32], keys[32:])

    def _digest(self, name):
        """SHA-256 of a file in hex, read in pieces; None if there is no such file."""
        size = self._directory.size(name)
        if not size:
            return None
        digest = sha256(b"")
        for at in range(0, size, 1024):
            digest.update(self._directory.read_at(name, at, 1024))
        return _hex(digest.digest())


def _secret(generator):
    """A secret (32 bytes) whose public point has an even y."""
    while True:
        secret = generator.random(32)
        try:
            if curve.public(secret)[0] == 2:
                return secret
        except ValueError:  # 0, or not below n
            pass


def _check_name(name):
    if name != _PARAMETERS:
        raise Error("unknown file '{}'".format(name))


def _unhex(text, length):
    data = unhexlify(text)
    if len(data) != length:
        raise Error("a seed has {} bytes".format(length))
    return data


def _hex(data):
    return hexlify(data).decode()


# -- what the host types


def identify():
    """The methods of Provisioning, for this board; each prints one line."""
    _tell(Provisioning.identify)


def make_keys(host_seed):
    _tell(Provisioning.make_keys, host_seed)


def put(name, offset, data):
    _tell(Provisioning.put, name, offset, data)


def finish(name, digest):
    _tell(Provisioning.finish, name, digest)


def configure(text):
    _tell(Provisioning.configure, text)


def readback(nonce):
    _tell(Provisioning.readback, nonce)


def _tell(function, *arguments):
    """Print what the function returns, or {"error": ...}. There is no traceback, as it might quote a secret."""
    try:
        answer = function(_here(), *arguments)
    except (Error, OSError, ValueError, KeyError) as error:
        answer = {"error": str(error) if isinstance(error, Error) else repr(error)}
    print(line(answer))


def line(answer):
    """The line for an answer (a dict): JSON, a blank, and the CRC-32 of that JSON in hex."""
    text = json.dumps(answer)
    return "{} {:08x}".format(text, crc32(text.encode()))


def _here():
    import board
    import tessera_build
    from machine import unique_id

    import slots

    source = getattr(board, "random", os.urandom)
    return Provisioning(Directory("/"), tessera_build, unique_id(), source, slots.problem)
