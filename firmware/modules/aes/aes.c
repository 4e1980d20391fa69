// Key schedules, the chain between calls and buffers that are not aligned; and for what is no RP2040 the rounds in C, with
// the same tables. Words are little-endian: a column's first row is its lowest byte.

#include <string.h>

#include "aes.h"

#ifdef TESSERA_AES_RP2040
#include "aes_rp2040.h"
#else
#include "aes_tables.h"
#endif

#define BLOCK TESSERA_AES_BLOCK_BYTES

static uint32_t load(const uint8_t *bytes) {
    return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

// What a compiler may not leave out, as nobody reads it any more.
static void wipe(void *data, size_t length) {
    memset(data, 0, length);
    __asm__ volatile ("" : : "r" (data) : "memory");
}

// -- keys

static uint32_t substitute(uint32_t word) {
    const uint8_t *box = tessera_aes_substitution;
    return box[word & 255] | box[word >> 8 & 255] << 8 | box[word >> 16 & 255] << 16 | (uint32_t)box[word >> 24] << 24;
}

static uint32_t rotated(uint32_t word, int left) {
    return word << left | word >> (32 - left);
}

int tessera_aes_encryption_key(tessera_aes_key *key, const uint8_t *bytes, size_t length) {
    if (length != 16 && length != 24 && length != 32) {
        return -1;
    }
    size_t words = length / 4;
    uint32_t *w = key->words;
    key->rounds = words + 6;
    for (size_t i = 0; i < words; i++) {
        w[i] = load(bytes + 4 * i);
    }
    uint32_t last = w[words - 1], constant = 1;
    for (size_t i = words, place = 0; i < 4 * (key->rounds + 1); i++) {
        if (place == 0) {
            last = substitute(rotated(last, 24)) ^ constant;
            constant = constant << 1 ^ (constant >> 7) * 0x11B;
        } else if (place == 4 && words == 8) {
            last = substitute(last);
        }
        last ^= w[i - words];
        w[i] = last;
        place = place + 1 == words ? 0 : place + 1;
    }
    return 0;
}

static uint32_t unmixed(uint32_t word) { // InvMixColumns of a column
    uint32_t sum = 0;
    for (int row = 3; row >= 0; row--) {
        sum = rotated(sum, 8) ^ tessera_aes_decryption[tessera_aes_substitution[word >> 8 * row & 255]][0];
    }
    return sum;
}

int tessera_aes_decryption_key(tessera_aes_key *key, const uint8_t *bytes, size_t length) {
    tessera_aes_key forwards;
    if (tessera_aes_encryption_key(&forwards, bytes, length) != 0) {
        return -1;
    }
    key->rounds = forwards.rounds;
    for (size_t round = 0; round <= key->rounds; round++) {
        const uint32_t *from = forwards.words + 4 * (key->rounds - round);
        uint32_t *to = key->words + 4 * round;
        for (int column = 0; column < 4; column++) {
            uint32_t word = from[-column & 3];
            to[column] = round == 0 || round == key->rounds ? word : unmixed(word);
        }
    }
    wipe(&forwards, sizeof(forwards));
    return 0;
}

// -- rounds

#ifndef TESSERA_AES_RP2040

static void store(uint8_t *bytes, uint32_t word) {
    for (int i = 0; i < 4; i++) {
        bytes[i] = word >> 8 * i;
    }
}

// Byte k of a new column comes from the column that many places on, which is ShiftRows; and InvShiftRows, if columns 1 and
// 3 are exchanged.
static void apply_rounds(const tessera_aes_key *key, const uint32_t (*table)[2], const uint8_t *box, uint32_t state[4]) {
    const uint32_t *k = key->words;
    uint32_t s0 = state[0] ^ k[0], s1 = state[1] ^ k[1], s2 = state[2] ^ k[2], s3 = state[3] ^ k[3];
    #define COLUMN(a, b, c, d) \
        (table[(a) & 255][0] ^ table[(c) >> 16 & 255][1] ^ rotated(table[(b) >> 8 & 255][0] ^ table[(d) >> 24][1], 8))
    #define LAST(a, b, c, d) \
        (box[(a) & 255] | box[(b) >> 8 & 255] << 8 | box[(c) >> 16 & 255] << 16 | (uint32_t)box[(d) >> 24] << 24)
    for (uint32_t round = key->rounds - 1; round; round--) {
        k += 4;
        uint32_t t0 = COLUMN(s0, s1, s2, s3) ^ k[0], t1 = COLUMN(s1, s2, s3, s0) ^ k[1];
        uint32_t t2 = COLUMN(s2, s3, s0, s1) ^ k[2], t3 = COLUMN(s3, s0, s1, s2) ^ k[3];
        s0 = t0, s1 = t1, s2 = t2, s3 = t3;
    }
    state[0] = LAST(s0, s1, s2, s3) ^ k[4];
    state[1] = LAST(s1, s2, s3, s0) ^ k[5];
    state[2] = LAST(s2, s3, s0, s1) ^ k[6];
    state[3] = LAST(s3, s0, s1, s2) ^ k[7];
}

void tessera_aes_cbc_encrypt(
    const tessera_aes_key *key, uint8_t iv[16], const uint8_t *in, uint8_t *out, size_t blocks) {
    uint32_t state[4];
    for (int i = 0; i < 4; i++) {
        state[i] = load(iv + 4 * i);
    }
    for (; blocks; blocks--, in += BLOCK, out += BLOCK) {
        for (int i = 0; i < 4; i++) {
            state[i] ^= load(in + 4 * i);
        }
        apply_rounds(key, tessera_aes_encryption, tessera_aes_substitution, state);
        for (int i = 0; i < 4; i++) {
            store(out + 4 * i, state[i]);
        }
    }
    for (int i = 0; i < 4; i++) {
        store(iv + 4 * i, state[i]);
    }
}

void tessera_aes_cbc_decrypt(
    const tessera_aes_key *key, uint8_t iv[16], const uint8_t *in, uint8_t *out, size_t blocks) {
    uint32_t chained[4], state[4];
    for (int i = 0; i < 4; i++) {
        chained[i] = load(iv + 4 * i);
    }
    for (; blocks; blocks--, in += BLOCK, out += BLOCK) {
        uint32_t next[4];
        for (int i = 0; i < 4; i++) {
            next[i] = load(in + 4 * i);
            state[-i & 3] = next[i];
        }
        apply_rounds(key, tessera_aes_decryption, tessera_aes_inverse_substitution, state);
        for (int i = 0; i < 4; i++) {
            store(out + 4 * i, state[-i & 3] ^ chained[i]);
            chained[i] = next[i];
        }
    }
    for (int i = 0; i < 4; i++) {
        store(iv + 4 * i, chained[i]);
    }
    wipe(state, sizeof(state));
}

#else

#define PIECE_BLOCKS 16 // that are copied at once where words are not aligned

typedef void cbc(const tessera_aes_key *key, const uint32_t iv[4], const uint32_t *in, uint32_t *out, size_t blocks);

// By pieces that are made where words are aligned; copied there before, if they do not begin at one.
static void copied(
    cbc *function, const tessera_aes_key *key, uint32_t iv[4], const uint8_t *in, uint8_t *out, size_t blocks) {
    uint32_t piece[4 * PIECE_BLOCKS], last[4];
    size_t bytes;
    for (; blocks; blocks -= bytes / BLOCK, in += bytes, out += bytes) {
        bytes = BLOCK * (blocks < PIECE_BLOCKS ? blocks : PIECE_BLOCKS);
        const void *from = in;
        if ((uintptr_t)in & 3) {
            from = memcpy(piece, in, bytes);
        }
        memcpy(last, in + bytes - BLOCK, BLOCK); // of the ciphertext, if that is what in has
        function(key, iv, from, piece, bytes / BLOCK);
        memcpy(out, piece, bytes);
        memcpy(iv, function == tessera_rp2040_cbc_encrypt ? out + bytes - BLOCK : (uint8_t *)last, BLOCK);
    }
    wipe(piece, sizeof(piece));
    wipe(last, sizeof(last));
}

static void run(
    cbc *function, const tessera_aes_key *key, uint8_t iv[16], const uint8_t *in, uint8_t *out, size_t blocks) {
    if (blocks == 0) {
        return;
    }
    uint32_t words[4], last[4];
    memcpy(words, iv, BLOCK);
    if (((uintptr_t)in | (uintptr_t)out) & 3) {
        copied(function, key, words, in, out, blocks);
        memcpy(iv, words, BLOCK);
        return;
    }
    size_t at = BLOCK * (blocks - 1);
    memcpy(last, in + at, BLOCK);
    function(key, words, (const uint32_t *)(const void *)in, (uint32_t *)(void *)out, blocks);
    memcpy(iv, function == tessera_rp2040_cbc_encrypt ? out + at : (uint8_t *)last, BLOCK);
}

void tessera_aes_cbc_encrypt(
    const tessera_aes_key *key, uint8_t iv[16], const uint8_t *in, uint8_t *out, size_t blocks) {
    run(tessera_rp2040_cbc_encrypt, key, iv, in, out, blocks);
}

void tessera_aes_cbc_decrypt(
    const tessera_aes_key *key, uint8_t iv[16], const uint8_t *in, uint8_t *out, size_t blocks) {
    run(tessera_rp2040_cbc_decrypt, key, iv, in, out, blocks);
}

#endif

// -- single blocks

void tessera_aes_encrypt(const tessera_aes_key *key, const uint8_t in[16], uint8_t out[16]) {
    uint32_t zeros[4] = {0};
    tessera_aes_cbc_encrypt(key, (uint8_t *)zeros, in, out, 1);
}

void tessera_aes_decrypt(const tessera_aes_key *key, const uint8_t in[16], uint8_t out[16]) {
    uint32_t zeros[4] = {0};
    tessera_aes_cbc_decrypt(key, (uint8_t *)zeros, in, out, 1);
}
