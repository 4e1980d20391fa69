// What aes_rp2040.py generates: CBC over at least one block, everything aligned to words. in and out are the same or do
// not overlap.

#ifndef TESSERA_AES_RP2040_H
#define TESSERA_AES_RP2040_H

#include "aes.h"

void tessera_rp2040_cbc_encrypt(
    const tessera_aes_key *key, const uint32_t iv[4], const uint32_t *in, uint32_t *out, size_t blocks);
void tessera_rp2040_cbc_decrypt(
    const tessera_aes_key *key, const uint32_t iv[4], const uint32_t *in, uint32_t *out, size_t blocks);

// In RAM. Of every byte x its substitute s = S(x), and the words (2s, s, s, 3s) and the same rotated by half; for
// decryption the inverse and (14s, 9s, 13s, 11s).
extern const uint8_t tessera_aes_substitution[256];
extern const uint8_t tessera_aes_inverse_substitution[256];
extern const uint32_t tessera_aes_encryption[256][2];
extern const uint32_t tessera_aes_decryption[256][2];

#endif
