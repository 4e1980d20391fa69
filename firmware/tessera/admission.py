# Who may use the relay: blind tokens, proof of possession, quota leases, resumption (PROTOCOL §4 and §6).
# One Admission lives as long as its epoch. Nothing here knows a record.

from . import curve
from .channel import resumption_step
from .errors import NotAdmitted, QuotaSpent
from .hashes import tagged
from .keyring import TOKEN_ID_BYTES
from .runtime import const

LEASE_POSTS = const(16)


class Token:
    """A verified token in RAM: posts used, leases taken, and what its sessions resume with.

    steps: (id, key, next secret) of the next resumption and of the one after it, () before the first offer.
    """

    def __init__(self, ring_id, leases):
        self.ring_id = ring_id
        self.leases = leases
        self.used = leases * LEASE_POSTS  # what an earlier boot had open counts as used
        self.steps = ()


class Admission:
    """The tokens of one epoch.

    epoch_key K_e (32 bytes), posts_per_token from the parameters; leases are read from and written to the key ring.
    """

    def __init__(self, keyring, epoch, epoch_key, federation_id, relay_key, posts_per_token):
        self.epoch = epoch
        self._keyring = keyring
        self._epoch_key = epoch_key
        self._token_start = federation_id + epoch.to_bytes(4, "big") + relay_key
        self._posts_per_token = posts_per_token
        self._tokens = {}  # by H("token-id", A)
        self._resumable = {}  # resumption id -> token: the next two ids of each

    def authenticate(self, epoch, key, signature, proof, handshake_hash):
        """The Token for (A = key, σ = signature) with its proof; NotAdmitted otherwise, and nothing has changed."""
        if epoch != self.epoch or self._epoch_key is None or handshake_hash is None:
            raise NotAdmitted("not a token of this epoch")
        token_id = tagged("token-id", key)
        if token_id not in self._tokens and not self._signed(key, signature):
            raise NotAdmitted("the token is not signed by the issuer")
        if not curve.verify(proof, tagged("session", handshake_hash), key):
            raise NotAdmitted("the proof is not by the token's key")
        if token_id not in self._tokens:
            ring_id = token_id[:TOKEN_ID_BYTES]
            self._tokens[token_id] = Token(ring_id, self._keyring.leases.get(ring_id, 0))
        return self._tokens[token_id]

    def _signed(self, key, signature):
        return curve.verify(signature, tagged("token", self._token_start, key), self._epoch_key)

    # -- quota

    def posts_left(self, token):
        return max(0, self._posts_per_token - token.used)

    def reserve(self, token):
        """Make sure that a lease covers one more post, durably; QuotaSpent if the token has none left."""
        if not self.posts_left(token):
            raise QuotaSpent("this token has no posts left")
        if token.used == token.leases * LEASE_POSTS:
            self._keyring.lease(token.ring_id, token.leases + 1)
            token.leases += 1

    def charge(self, token):
        """Count a post that was stored under a reserved lease."""
        token.used += 1

    # -- resumption

    def offer_resumption(self, token, secret):
        """Let the token's sessions resume with this secret (32 bytes) or the one after it, and with no earlier one."""
        self._offer(token, resumption_step(secret))

    def _offer(self, token, step):
        for id_, _, _ in token.steps:
            self._resumable.pop(id_)
        token.steps = (step, resumption_step(step[2]))
        for id_, _, _ in token.steps:
            self._resumable[id_] = token

    def resumable(self, id_):
        """The (token, key) of a resumption id, None if no token accepts it. Changes nothing."""
        token = self._resumable.get(id_)
        if token is None:
            return None
        return token, token.steps[0][1] if token.steps[0][0] == id_ else token.steps[1][1]

    def resumed(self, token, id_):
        """The token's session was resumed with this id: that secret is used up, its successor is offered."""
        used, following = token.steps
        self._offer(token, following if used[0] == id_ else resumption_step(following[2]))
