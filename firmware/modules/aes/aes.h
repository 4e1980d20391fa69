// AES (FIPS 197) with keys of 16, 24 or 32 bytes, single blocks and CBC. Two implementations of one interface: assembly
// for the RP2040 (TESSERA_AES_RP2040, aes_rp2040.py), C for everything else. README.md says how to build and what the
// time depends on.

#ifndef TESSERA_AES_H
#define TESSERA_AES_H

#include <stddef.h>
#include <stdint.h>

#define TESSERA_AES_BLOCK_BYTES 16

// Round keys, for encryption or for decryption. Those for decryption have columns 1 and 3 exchanged.
typedef struct {
    uint32_t rounds;
    uint32_t words[60];
} tessera_aes_key;

// 0, or -1 if a key cannot have so many bytes.
int tessera_aes_encryption_key(tessera_aes_key *key, const uint8_t *bytes, size_t length);
int tessera_aes_decryption_key(tessera_aes_key *key, const uint8_t *bytes, size_t length);

// CBC without padding over so many blocks; iv becomes the last block of ciphertext, so that the chain goes on with the
// next call. in and out are the same or do not overlap; words that are aligned are faster.
void tessera_aes_cbc_encrypt(
    const tessera_aes_key *key, uint8_t iv[16], const uint8_t *in, uint8_t *out, size_t blocks);
void tessera_aes_cbc_decrypt(
    const tessera_aes_key *key, uint8_t iv[16], const uint8_t *in, uint8_t *out, size_t blocks);

// One block by itself.
void tessera_aes_encrypt(const tessera_aes_key *key, const uint8_t in[16], uint8_t out[16]);
void tessera_aes_decrypt(const tessera_aes_key *key, const uint8_t in[16], uint8_t out[16]);

#endif
