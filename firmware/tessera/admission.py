# Who may use the relay: blind tokens, proof of possession, quota leases, resumption (PROTOCOL §4 and §6).
# One Admission lives as long as its epoch. Nothing here knows a record.

from . import curve
from .channel import resumption_step
from .errors import NotAdmitted, QuotaSpent
from .hashes import hmac_sha256, tagged
from .keyring import TOKEN_ID_BYTES
from .runtime import const

LEASE_POSTS = const(4)
READ_PROOF_BYTES = const(16)
OPERATOR = const(0xFFFFFFFF)  # the epoch of an operator's AUTH


class Token:
    """A verified token in RAM: posts used, leases taken, and what its sessions resume with.

    All tokens of an epoch stay until it ends, so of their resumptions only the secret is kept: ids and keys of the next
    two would take 250 bytes more, on a board.
    """

    def __init__(self, ring_id, leases):
        self.ring_id = ring_id
        self.leases = leases
        self.used = leases * LEASE_POSTS  # what an earlier boot had open counts as used
        self.round = None  # the last one it posted in
        self.secret = None  # of the next resumption
        self.marks = ()  # of its id and of the one after it

    def step(self, id_):
        """The (id, key, next secret) of one of the next two resumptions; None if it has another id."""
        step = resumption_step(self.secret)
        if step[0] != id_:
            step = resumption_step(step[2])
        return step if step[0] == id_ else None


class Admission:
    """The tokens of one epoch.

    epoch_keys K_{e,c} (32 bytes of each cohort, None without one), posts_per_token and constant from the parameters;
    leases are read from and written to the key ring.
    """

    def __init__(self, keyring, epoch, epoch_keys, federation_id, relay_key, posts_per_token, constant=0):
        self.epoch = epoch
        self._keyring = keyring
        starts = range(0, len(epoch_keys or b""), 32)
        self._epoch_keys = [epoch_keys[at : at + 32] for at in starts]  # prepare() makes a PreparedKey of each
        self._prepared = 0
        self._token_start = federation_id + epoch.to_bytes(4, "big") + relay_key
        self._posts_per_token = posts_per_token
        self._most_tokens = constant or None  # that may post: of a constant batch, as it has room for one record each
        self._tokens = {}  # by H("token-id", A)
        self._resumable = {}  # mark of a resumption id -> token: the next two ids of each

    def prepare(self):
        """Make the table of one of the epoch's keys, in idle time; whether that was still to do.

        Every token of the epoch is verified under these keys: with the table in three fifths of the time, as
        bench-device shows. It takes 2 KB of heap; without that much (MemoryError) tokens are verified without it.
        """
        keys, at = self._epoch_keys, self._prepared
        if at == len(keys):
            return False
        try:
            keys[at] = curve.PreparedKey(keys[at])
            self._prepared += 1
        except ValueError:
            del keys[at]  # not a point: nobody can have a token
        return True

    def authenticate(self, epoch, key, signature, proof, handshake_hash):
        """The Token for (A = key, σ = signature) with its proof; NotAdmitted otherwise, and nothing has changed."""
        return self.admit(self.check(epoch, key, signature, proof, handshake_hash))

    def check(self, epoch, key, signature, proof, handshake_hash):
        """H("token-id", A) of a right token with its proof; NotAdmitted otherwise. Changes nothing.

        What fails cheaply fails first: numbers, then the issuer's signature, unless it was seen before (under the
        prepared key it costs less than the other), then the proof, which has to be new each time.
        """
        if epoch != self.epoch or handshake_hash is None:
            raise NotAdmitted("not a token of this epoch")
        if not self._epoch_keys:
            raise NotAdmitted("no key for this epoch: the schedule has ended")
        token_id = tagged("token-id", key)
        if token_id not in self._tokens and not self._signed(key, signature):
            raise NotAdmitted("the token is not signed by the issuer")
        if not curve.verify(proof, tagged("session", handshake_hash), key):
            raise NotAdmitted("the proof is not by the token's key")
        return token_id

    def admit(self, token_id):
        """The Token of an id that check() gave, of this Admission or of another of the same epoch."""
        if token_id not in self._tokens:
            ring_id = token_id[:TOKEN_ID_BYTES]
            self._tokens[token_id] = Token(ring_id, self._keyring.leases.get(ring_id, 0))
        return self._tokens[token_id]

    def _signed(self, key, signature):
        # Under all of them, whichever it is: no time tells of which cohort a token is.
        message = tagged("token", self._token_start, key)
        return sum([curve.verify(signature, message, epoch_key) for epoch_key in self._epoch_keys]) > 0

    # -- quota

    def posts_left(self, token):
        return max(0, self._posts_per_token - token.used)

    def reserve(self, token):
        """Make sure that a lease covers one more post, durably; QuotaSpent if the token has none left, or if as many
        others have a lease as a constant batch has room for."""
        if not self.posts_left(token):
            raise QuotaSpent("this token has no posts left")
        if token.used == token.leases * LEASE_POSTS:
            if not token.leases and len(self._keyring.leases) == self._most_tokens:
                raise QuotaSpent("as many tokens have posted as there are places")
            self._keyring.lease(token.ring_id, token.leases + 1)
            token.leases += 1

    def charge(self, token):
        """Count a post that was stored under a reserved lease."""
        token.used += 1

    # -- resumption

    def offer_resumption(self, token, secret):
        """Let the token's sessions resume with this secret (32 bytes) or the one after it, and with no earlier one."""
        for mark in token.marks:
            self._resumable.pop(mark, None)
        step = resumption_step(secret)
        token.secret = secret
        token.marks = (_mark(step[0]), _mark(resumption_step(step[2])[0]))
        for mark in token.marks:
            self._resumable[mark] = token

    def resumable(self, id_):
        """The token of a resumption id and its (id, key, next secret), None if no token accepts it. Changes nothing."""
        token = self._resumable.get(_mark(id_))
        step = None if token is None else token.step(id_)
        return None if step is None else (token, step)


def read_proof(reading_key, handshake_hash):
    """What a FETCH shows on the channel with this handshake hash (32 bytes): 16 bytes that only who holds the reading
    key (32 bytes) can make. It says "a member", not which."""
    return hmac_sha256(reading_key, b"read", handshake_hash)[:READ_PROOF_BYTES]


def operator_message(federation_id, relay_key, handshake_hash):
    """What the root key signs for a session with a relay (static key, 33 bytes) that is the operator's: 32 bytes."""
    return tagged("operator", federation_id, relay_key, handshake_hash)


def _mark(id_):
    """A small integer, which takes no heap, for an id. Of two ids with one mark the newer is found, and the member with
    the other makes a full handshake: once in fifty thousand epochs of a hundred tokens."""
    return int.from_bytes(id_[:4], "big") >> 2
