"""How the engine has to be set up that keeps a fleet's log: the nodes' configuration file, the stream, and its address.

Owns its lines and what is said where one of them is missing, so that both are one text. The lines are those of
nats-server 2.12 and later. Nothing of NATS needs to be installed here.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .log import MOST_ENTRY_BYTES, LogRefused, NodesMissing

NODES = 3  # the entries of a log are on so many, and two of them are enough to go on
LEAST_VERSION = (2, 12)
# The one question outside of its own account that a gateway may ask: how each node is set up.
SETTINGS = "$SYS.REQ.SERVER.PING.VARZ"
SYNC_LINE = "sync_interval: always"
ACCOUNT = "TESSERA"
SYSTEM = "SYS"
WINDOW_SECONDS = 600.0  # within which the engine knows an id again
NANO = 1_000_000_000  # JetStream says how long something is in these
_OWNER = "tessera-relay"  # in the stream's metadata: the static key of the relay whose log it is
_OVERHEAD_BYTES = 1024  # headers of an entry
_BLIND = "so that a gateway cannot see whether it keeps what it acknowledges"
_PORT = 4222
CERTIFICATE, KEY, SIGNERS = "engine.crt", "engine.key", "ca.crt"  # a node's own, and who signed those of all
_EXPIRED, _NOT_YET, _ANOTHER_NAME = 10, 9, (62, 64)  # X509_V_ERR_… of OpenSSL
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_SCHEME = "nats://"

Json = dict[str, Any]


@dataclass(frozen=True)
class Address:
    """What `nats://HOST[:PORT],…/NAME` says."""

    nodes: tuple[str, ...]  # HOST:PORT
    name: str

    @classmethod
    def read(cls, text: str) -> "Address":
        """Raises UsageError."""
        hosts, _, name = text.removeprefix(_SCHEME).partition("/")
        nodes = [host if re.search(r":\d+$", host) else f"{host}:{_PORT}" for host in hosts.split(",")]
        if not text.startswith(_SCHEME) or not all(hosts.split(",")) or "@" in hosts or not _NAME.fullmatch(name):
            raise UsageError(
                f"'{text}' names no log of a fleet",
                f"write {_SCHEME}HOST,HOST,HOST/NAME, the name in small letters, digits and hyphens; for nodes that "
                "speak TLS, too, with --engine-ca FILE beside it",
            )
        return cls(tuple(nodes), name)


def export_line(account: str) -> str:
    return f'exports: [{{ service: "{SETTINGS}", response_type: stream, accounts: [{account}] }}]'


def import_line(system: str) -> str:
    return f'imports: [{{ service: {{ account: {system}, subject: "{SETTINGS}" }} }}]'


@dataclass(frozen=True)
class Node:
    """One of the engine's. `nodes` are the addresses (HOST:PORT) at which nodes reach each other, its own too. tls: the
    directory, on the node's host, with CERTIFICATE, KEY and SIGNERS; None: it speaks plain TCP."""

    name: str
    listen: str  # HOST:PORT, for gateways
    listen_nodes: str  # HOST:PORT, for the other nodes
    nodes: tuple[str, ...]
    store: Path
    user: str
    password: str
    cluster: str = "tessera"
    tls: Path | None = None

    def text(self) -> str:
        """The file. Raises ValueError if a name or the password has a character that cannot be printed, or a name or an
        address is none that nats-server takes."""
        routes = ", ".join(_address(address, "nats-route://") for address in self.nodes)
        return f"""server_name: {_word(self.name)}
listen: {_address(self.listen)}
{self._tls_for_gateways()}jetstream {{
  store_dir: {_quoted(str(self.store))}
  {SYNC_LINE}  # nothing is acknowledged before the disk has it
}}
accounts {{
  {SYSTEM} {{
    {export_line(ACCOUNT)}
  }}
  {ACCOUNT} {{
    jetstream: enabled
    users: [{{ user: {_quoted(self.user)}, password: {_quoted(self.password)} }}]
    {import_line(SYSTEM)}
  }}
}}
system_account: {SYSTEM}
cluster {{
  name: {_quoted(self.cluster)}
  listen: {_address(self.listen_nodes)}
  routes: [{routes}]
  no_advertise: true  # gateways use the addresses that they were given
{self._tls_between_nodes()}}}
"""

    def _tls_for_gateways(self) -> str:
        if self.tls is None:
            return ""
        return f"""tls {{
{self._certificate("  ")}
  handshake_first: true  # a gateway says nothing before it has seen the certificate
}}
"""

    def _tls_between_nodes(self) -> str:
        """Each shows the other its certificate."""
        if self.tls is None:
            return ""
        return f"""  tls {{
{self._certificate("    ")}
    ca_file: {_quoted(str(self.tls / SIGNERS))}
    verify: true
  }}
"""

    def _certificate(self, indent: str) -> str:
        assert self.tls is not None
        cert, key = (_quoted(str(self.tls / name)) for name in (CERTIFICATE, KEY))
        return f"{indent}cert_file: {cert}\n{indent}key_file: {key}"


def no_accounts() -> LogRefused:
    return LogRefused(
        f"the engine has no accounts, {_BLIND}",
        f"write into every node's configuration:  accounts {{ {SYSTEM} {{ {export_line(ACCOUNT)} }}  {ACCOUNT} {{"
        f" jetstream: enabled, users: [{{ user: …, password: … }}], {import_line(SYSTEM)} }} }}"
        f"  system_account: {SYSTEM}",
    )


def no_import(account: str) -> LogRefused:
    return LogRefused(
        f"the engine does not tell the account {account} how its nodes are set up, {_BLIND}",
        f"write into every node's configuration, in the system account (here {SYSTEM}): "
        f" {export_line(account)}  and in {account}:  {import_line(SYSTEM)}",
    )


def too_few_nodes() -> NodesMissing:
    return NodesMissing(
        f"the engine has fewer than {NODES} nodes that can keep the log",
        f"start {NODES} that know each other, with this in the configuration of each:  cluster {{ name: …, listen: …,"
        " routes: [nats-route://HOST:6222, …] }",
    )


def wrong_user(node: str) -> LogRefused:
    return LogRefused(
        f"the engine's node {node} does not know this gateway's user, or its password",
        f"write both into every node's configuration: accounts {{ {ACCOUNT} {{ users: [{{ user: …, password: … }}]"
        " } }",
    )


def tls_is_needed(node: str) -> LogRefused:
    return LogRefused(
        f"the engine's node {node} speaks TLS, and this gateway was not told so",
        'name who signed its certificate: --engine-ca FILE; for a gateway that exists already, "ca" in its fleet.json',
    )


def no_tls(node: str) -> LogRefused:
    return LogRefused(
        f"the engine's node {node} does not speak TLS as --engine-ca asks for",
        "write into its configuration:  tls { cert_file: …, key_file: …, handshake_first: true }  as --tls-files of "
        "tessera fleet engine does, or leave --engine-ca out",
    )


def wrong_certificate(node: str, code: int, said: str) -> LogRefused:
    """code, said: of OpenSSL."""
    whose = f"the certificate of the engine's node {node}"
    if code == _EXPIRED:
        return LogRefused(
            f"{whose}, or its signer's, has expired",
            "put a new one in its place on that host, and start the node again",
        )
    if code == _NOT_YET:
        return LogRefused(f"{whose} is not valid yet", "compare the clocks of this host and of the one that made it")
    if code in _ANOTHER_NAME:
        return LogRefused(
            f"{whose} is for another address: {said}",
            "make one whose subjectAltName has the address by which --storage names the node",
        )
    return LogRefused(
        f"{whose} was not signed by an authority in --engine-ca: {said}",
        'name who signed it: --engine-ca FILE; for a gateway that exists already, "ca" in its fleet.json',
    )


def _quoted(text: str) -> str:
    """Of the escapes of JSON a configuration has those for a quote and a backslash. Raises ValueError."""
    if not text.isprintable():
        raise ValueError("a configuration takes printable characters")
    return json.dumps(text, ensure_ascii=False)


def _word(text: str) -> str:
    """As _quoted(), without a blank."""
    quoted = _quoted(text)
    if " " in text:
        raise ValueError(f"'{text}' has a blank")
    return quoted


def _address(text: str, scheme: str = "") -> str:
    """HOST:PORT, as _word(), behind the scheme."""
    _word(text)
    if not 0 < int(text.rpartition(":")[2]) < 1 << 16:
        raise ValueError(f"'{text}' has no port")
    return _quoted(scheme + text)


def stream(name: str, subject: str, relay: bytes, keep_seconds: int, replicas: int) -> Json:
    """The stream that is the log of the relay with this static key (33 bytes)."""
    return {
        "name": name,
        "subjects": [subject],
        "retention": "limits",
        "discard": "new",  # what does not fit is refused; nothing is thrown away for it
        "storage": "file",
        "num_replicas": replicas,
        "max_age": keep_seconds * NANO,
        "duplicate_window": int(min(WINDOW_SECONDS, keep_seconds) * NANO),
        "max_consumers": -1,
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "max_bytes": -1,
        "max_msg_size": -1,
        "no_ack": False,
        "deny_delete": True,
        "deny_purge": False,  # trim() is one
        "allow_rollup_hdrs": False,
        "metadata": {_OWNER: relay.hex()},
    }


def require_stream(wanted: Json, found: Json) -> None:
    """Raises LogRefused. How long entries are kept may be another time: that is changed without anybody."""
    name = wanted["name"]
    if found.get("metadata", {}).get(_OWNER) != wanted["metadata"][_OWNER]:
        raise LogRefused(
            f"the engine's stream '{name}' is the log of another relay, or no relay's log",
            "write the name of this relay's log in --storage, or one that was never used",
        )
    if found.get("num_replicas", 1) < wanted["num_replicas"]:
        raise LogRefused(
            f"the engine keeps the log '{name}' on {found.get('num_replicas', 1)} of its nodes",
            f"nats stream edit {name} --replicas {wanted['num_replicas']}",
        )
    for key, value in wanted.items():
        if key not in ("metadata", "num_replicas", "max_age") and found.get(key, False) != value:
            raise LogRefused(
                f"the engine's stream '{name}' has {key}: {json.dumps(found.get(key))}",
                f"it has to be {json.dumps(value)}: edit it, or name another log in --storage",
            )
    for key in ("mirror", "sources", "subject_transform", "republish", "sealed"):
        if found.get(key):
            raise LogRefused(f"the engine's stream '{name}' has a {key}", "edit it, or name another log in --storage")
    if found.get("persist_mode", "default") not in ("", "default"):
        raise LogRefused(
            f"the engine's stream '{name}' acknowledges before a disk has it (persist_mode)",
            "name another log in --storage: this cannot be edited",
        )


def require_node(node: Json) -> None:
    """What a node says of itself. Raises LogRefused."""
    name, version = node["server_name"], node.get("version", "")
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < LEAST_VERSION:
        least = ".".join(map(str, LEAST_VERSION))
        raise LogRefused(f"the engine's node {name} is nats-server {version or '?'}", f"install {least} or later on it")
    settings = (node.get("jetstream") or {}).get("config")
    if settings is None:
        return  # it keeps nothing
    if not settings.get("sync_always"):
        raise LogRefused(
            f"the engine's node {name} acknowledges entries before its disk has them",
            f"write into its configuration, within jetstream {{ }}:  {SYNC_LINE}",
        )
    if node.get("max_payload", 0) < MOST_ENTRY_BYTES + _OVERHEAD_BYTES:
        raise LogRefused(
            f"the engine's node {name} takes entries of {node.get('max_payload')} bytes at most",
            "write into its configuration:  max_payload: 1MB",
        )
