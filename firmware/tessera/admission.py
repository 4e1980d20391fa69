# Decides who may use the relay: blind tokens, proof of possession, quota leases, resumption (PROTOCOL §4 and §6).
# There is one Admission for each epoch. Records are recordlog.py's business.

from . import curve
from .channel import resumption_step
from .errors import NotAdmitted, QuotaSpent
from .hashes import hmac_sha256, tagged
from .keyring import TOKEN_ID_BYTES
from .runtime import const

LEASE_POSTS = const(4)  # posts that one lease covers: the flash is written once for so many
READ_PROOF_BYTES = const(16)
OPERATOR = const(0xFFFFFFFF)  # stands for the epoch in an operator's AUTH


class Token:
    """A verified token in RAM: posts used, leases taken, and the secret that its sessions resume with.

    ring_id: the first 8 bytes of H("token-id", A), which name the token in the key ring. leases: how many it has taken.

    All tokens of an epoch stay in RAM until it ends. Of their resumptions only the secret is kept, because the ids and
    keys of the next two would take 250 bytes more for each token on a board.
    """

    def __init__(self, ring_id, leases):
        self.ring_id = ring_id
        self.leases = leases
        self.used = leases * LEASE_POSTS  # posts; all posts of a lease that an earlier boot took count as used
        self.round = None  # in which it posted last
        self.secret = None  # 32 bytes, for the next resumption
        self.marks = ()  # _mark() of the next resumption's id and of the one after it

    def step(self, id_):
        """(id, key, next secret) of the resumption with this id (16 bytes); None unless it is one of the next two."""
        step = resumption_step(self.secret)
        if step[0] != id_:
            step = resumption_step(step[2])
        return step if step[0] == id_ else None


class Admission:
    """The tokens of one epoch.

    epoch_keys: K_{e,c}, 32 bytes for each cohort, joined; None if the schedule has no keys for this epoch.
    posts_per_token and constant are fields of the parameters (PROTOCOL §2). Leases are read from the key ring and
    written to it.
    """

    def __init__(self, keyring, epoch, epoch_keys, federation_id, relay_key, posts_per_token, constant=0):
        self.epoch = epoch
        self._keyring = keyring
        starts = range(0, len(epoch_keys or b""), 32)
        self._epoch_keys = [epoch_keys[at : at + 32] for at in starts]  # prepare() makes a PreparedKey of each
        self._prepared = 0
        self._token_start = federation_id + epoch.to_bytes(4, "big") + relay_key
        self._posts_per_token = posts_per_token
        self._most_tokens = constant or None  # that may post: a constant batch has room for one record of each
        self._tokens = {}  # H("token-id", A) -> Token
        self._resumable = {}  # _mark() of a resumption id -> Token, for the next two ids of each

    def prepare(self):
        """Make the multiples table of one epoch key, in idle time. True if one was made, False if all were there.

        Every token of the epoch is verified under these keys, with a table in three fifths of the time (`make
        bench-device`). A table takes 2 KB of heap. MemoryError if they are not there; tokens are then verified without.
        """
        keys, at = self._epoch_keys, self._prepared
        if at == len(keys):
            return False
        try:
            keys[at] = curve.PreparedKey(keys[at])
            self._prepared += 1
        except ValueError:
            del keys[at]  # not a point of the curve, so no token can be valid under it
        return True

    def authenticate(self, epoch, key, signature, proof, handshake_hash):
        """check(), then admit(): the Token. NotAdmitted if the check fails; nothing has changed then."""
        return self.admit(self.check(epoch, key, signature, proof, handshake_hash))

    def check(self, epoch, key, signature, proof, handshake_hash):
        """H("token-id", A) (32 bytes) of a valid token; NotAdmitted otherwise. Changes nothing (PROTOCOL §6).

        key: the token's key A (32 bytes). signature: the issuer's, σ (64). proof: a signature by A (64) of the
        channel's handshake_hash (32; None in a resumed session).

        Cheap checks come first: the epoch, then the issuer's signature, which is skipped for a token that was seen
        before and is quicker under a prepared key than the proof, then the proof, which differs in each session.
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
        """The Token of a token_id (32 bytes) that check() returned, on this Admission or another of the same epoch."""
        if token_id not in self._tokens:
            ring_id = token_id[:TOKEN_ID_BYTES]
            self._tokens[token_id] = Token(ring_id, self._keyring.leases.get(ring_id, 0))
        return self._tokens[token_id]

    def _signed(self, key, signature):
        # All epoch keys are tried, also after one fits: the time does not tell to which cohort a token belongs.
        message = tagged("token", self._token_start, key)
        return sum([curve.verify(signature, message, epoch_key) for epoch_key in self._epoch_keys]) > 0

    # -- quota

    def posts_left(self, token):
        """How many more posts the token may make in this epoch."""
        return max(0, self._posts_per_token - token.used)

    def reserve(self, token):
        """Make sure that a durable lease covers one more post of the token.

        QuotaSpent if the token has no posts left, or if as many other tokens hold leases as a constant batch has
        places. Fault or OSError if the key ring cannot be written.
        """
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
        """Accept this resumption secret (32 bytes) and the one derived from it for the token, and no earlier ones."""
        for mark in token.marks:
            self._resumable.pop(mark, None)
        step = resumption_step(secret)
        token.secret = secret
        token.marks = (_mark(step[0]), _mark(resumption_step(step[2])[0]))
        for mark in token.marks:
            self._resumable[mark] = token

    def resumable(self, id_):
        """(Token, (id, key, next secret)) for a resumption id (16 bytes), or None. Changes nothing."""
        token = self._resumable.get(_mark(id_))
        step = None if token is None else token.step(id_)
        return None if step is None else (token, step)


def read_proof(reading_key, handshake_hash):
    """The proof (16 bytes) in a FETCH on the channel with this handshake hash (32 bytes).

    Making it takes the reading key (32 bytes), which all members have. So it shows that a member reads, but not which.
    """
    return hmac_sha256(reading_key, b"read", handshake_hash)[:READ_PROOF_BYTES]


def operator_message(federation_id, relay_key, handshake_hash):
    """The message (32 bytes) that the root key signs to make a session with a relay (static key, 33 bytes) the
    operator's (PROTOCOL §4)."""
    return tagged("operator", federation_id, relay_key, handshake_hash)


def _mark(id_):
    """30 bits of a resumption id, as a small integer, which takes no heap.

    If two ids have the same mark, only the newer one is found, and the member with the older makes a full handshake.
    With a hundred tokens in each epoch that happens once in fifty thousand epochs.
    """
    return int.from_bytes(id_[:4], "big") >> 2
