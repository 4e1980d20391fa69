# AES-256-GCM-SIV (RFC 8452) for the record vectors: the relay core has none, as only members seal records. Plain
# integers and single AES blocks, so that it runs wherever the core does. Shares nothing with the host's implementation.

from tessera.runtime import aes_ecb

TAG_BYTES = 16
_BLOCK = 16
_FIELD = (1 << 128) | (1 << 127) | (1 << 126) | (1 << 121) | 1  # x^128 + x^127 + x^126 + x^121 + 1


def polyval(key, data):
    """POLYVAL (RFC 8452 §3) of data, whole blocks of 16 bytes, under a key of 16."""
    h = int.from_bytes(key, "little")
    total = 0
    for at in range(0, len(data), _BLOCK):
        total = _dot(total ^ int.from_bytes(data[at : at + _BLOCK], "little"), h)
    return total.to_bytes(_BLOCK, "little")


def _dot(a, b):
    """a·b·x^-128 in the field: bit i of an integer is the coefficient of x^i."""
    product = 0
    for place in range(128):
        if b >> place & 1:
            product ^= a << place
    for _ in range(128):
        if product & 1:
            product ^= _FIELD
        product >>= 1
    return product


def seal(key, nonce, plaintext, aad):
    """Ciphertext ‖ tag(16) under a key of 32 bytes and a nonce of 12."""
    mac_key, encryption_key = _derive(key, nonce)
    tag = _tag(mac_key, encryption_key, nonce, plaintext, aad)
    return _apply_keystream(encryption_key, tag, plaintext) + tag


def unseal(key, nonce, sealed, aad):
    """The plaintext; ValueError if it was not sealed with this key, nonce and aad."""
    mac_key, encryption_key = _derive(key, nonce)
    tag = sealed[-TAG_BYTES:]
    plaintext = _apply_keystream(encryption_key, tag, sealed[:-TAG_BYTES])
    if _tag(mac_key, encryption_key, nonce, plaintext, aad) != tag:
        raise ValueError("not sealed with this key")
    return plaintext


def _derive(key, nonce):
    """The message-authentication key (16 bytes) and the message-encryption key (32) of RFC 8452 §4."""
    cipher = aes_ecb(key)
    halves = [cipher.encrypt(number.to_bytes(4, "little") + nonce)[:8] for number in range(6)]
    return b"".join(halves[:2]), b"".join(halves[2:])


def _tag(mac_key, encryption_key, nonce, plaintext, aad):
    lengths = (8 * len(aad)).to_bytes(8, "little") + (8 * len(plaintext)).to_bytes(8, "little")
    hashed = bytearray(polyval(mac_key, _padded(aad) + _padded(plaintext) + lengths))
    for index in range(len(nonce)):
        hashed[index] ^= nonce[index]
    hashed[15] &= 0x7F
    return aes_ecb(encryption_key).encrypt(bytes(hashed))


def _apply_keystream(encryption_key, tag, data):
    cipher = aes_ecb(encryption_key)
    counter = int.from_bytes(tag[:4], "little")
    rest = tag[4:15] + bytes((tag[15] | 0x80,))
    output = bytearray(data)
    for at in range(0, len(data), _BLOCK):
        stream = cipher.encrypt(counter.to_bytes(4, "little") + rest)
        for index in range(at, min(at + _BLOCK, len(data))):
            output[index] ^= stream[index - at]
        counter = (counter + 1) & 0xFFFFFFFF
    return bytes(output)


def _padded(data):
    return data + bytes(-len(data) % _BLOCK)
