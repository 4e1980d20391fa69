"""What this member was told in the office's name, kept to be shown: an issuer that tells two stories is found out.

Owns the signed heads of all parameter sets ever accepted, and the pairs of which an honest issuer signs one only. Which
pairs those are is said in `protocol.federation`; what is done about one is the caller's business.
"""

from collections.abc import Iterable

from tessera.errors import InvalidObject
from tessera.params import FIRST_BYTES, Head, Parameters

from ..protocol.federation import contradict
from .schema import Contradiction, EvidenceState


class Evidence:
    """A view of the keystore's heads (240 bytes each, signature and all) and of what contradicts them."""

    def __init__(self, state: EvidenceState) -> None:
        self._state = state

    def accepted(self, sets: Iterable[Parameters]) -> None:
        """Note that these sets were verified and belong together."""
        self._state.heads |= {known.digest: known.blob[:FIRST_BYTES] for known in sets}

    def weigh(self, blob: bytes) -> bool:
        """Tell whether a set that is signed by the same root key contradicts one that was accepted; if so, keep both
        heads."""
        try:
            found = Head(blob[:FIRST_BYTES])
            found.verify()
        except InvalidObject:
            return False
        heads = [Head(head) for head in self._state.heads.values()]
        ours = [head for head in heads if (head.federation_id, head.root_key) == (found.federation_id, found.root_key)]
        others = [head for head in ours if contradict(head, found)]
        for other in others:
            proof = Contradiction(self._state.heads[other.digest], blob[:FIRST_BYTES])
            if proof not in self._state.contradictions:
                self._state.contradictions.append(proof)
        return bool(others)

    @property
    def contradictions(self) -> list[tuple[bytes, bytes]]:
        """Pairs of signed heads (240 bytes each); each verifies by itself (PROTOCOL §2)."""
        return [(each.one, each.other) for each in self._state.contradictions]
