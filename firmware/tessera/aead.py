# The channel's AEAD: AEAD_AES_128_CBC_HMAC_SHA_256 (RFC 7518 §5.2.3) with the implicit IV of PROTOCOL §1.
# Which counter a frame has is channel.py's business.
#
# There are two tiers: the C module mbedcrypto where the firmware has it, aead_plain.py elsewhere.

from .errors import BadFrame

TAG_BYTES = 16

try:
    from mbedcrypto import FrameKey

    class Aead:
        """One key (32 bytes: MAC half, encryption half) for one direction: an object either seals or opens.

        seal_in_place(counter, aad, frame): seals the plaintext in frame, a bytearray of plaintext (n bytes) ‖ 1 byte of
        padding ‖ 16 bytes for the tag. n mod 16 must be 15, as in all frames of PROTOCOL §5.
        seal(counter, aad, plaintext): E ‖ T for a plaintext of any length (1 to 16 bytes of padding, then the tag).
        """

        def __init__(self, key):
            frame_key = FrameKey(key)
            self.seal_in_place = frame_key.seal_in_place
            self.seal = frame_key.seal
            self._open = frame_key.open

        def open(self, counter, aad, sealed):
            """The plaintext of sealed, E ‖ T; BadFrame if it was not sealed with this key, counter and aad."""
            plaintext = self._open(counter, aad, sealed)
            if plaintext is None:
                raise BadFrame("not sealed with this key")
            return plaintext

except ImportError:
    from .aead_plain import Aead

__all__ = ("TAG_BYTES", "Aead")
