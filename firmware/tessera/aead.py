# The channel's AEAD: AEAD_AES_128_CBC_HMAC_SHA_256 (RFC 7518 §5.2.3) with the implicit IV of PROTOCOL §1.
# Counters and what they mean are the channel's business.
#
# It has two tiers: the C module mbedcrypto where the firmware has it, aead_plain.py elsewhere.

from .errors import BadFrame

TAG_BYTES = 16

try:
    from mbedcrypto import FrameKey

    class Aead:
        """One key (32 bytes: MAC half, encryption half), one direction: it seals or it opens, never both.

        seal_in_place(counter, aad, frame): seal the plaintext in frame, a bytearray of plaintext n ‖ padding ‖ 16 bytes
        for the tag. n mod 16 must be 15, so that the padding is the single byte 01; all frames of PROTOCOL §5 are like
        that. seal(counter, aad, plaintext): E ‖ T for a plaintext of any length.
        """

        def __init__(self, key):
            frame_key = FrameKey(key)
            self.seal_in_place = frame_key.seal_in_place
            self.seal = frame_key.seal
            self._open = frame_key.open

        def open(self, counter, aad, sealed):
            """The plaintext of E ‖ T; BadFrame if it was not sealed with this key, counter and aad."""
            plaintext = self._open(counter, aad, sealed)
            if plaintext is None:
                raise BadFrame("not sealed with this key")
            return plaintext

except ImportError:
    from .aead_plain import Aead

__all__ = ("TAG_BYTES", "Aead")
