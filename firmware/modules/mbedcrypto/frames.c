// FrameKey: AEAD_AES_128_CBC_HMAC_SHA_256 (RFC 7518, 5.2.3) with the implicit IV of PROTOCOL §1. The C tier of
// firmware/tessera/aead.py, which describes the interface.

#include <string.h>

#include "py/objint.h"
#include "py/runtime.h"

#include <mbedtls/aes.h>
#include <mbedtls/constant_time.h>
#include <mbedtls/platform_util.h>

#include "hmac.h"
#include "types.h"

#define KEY_BYTES 16 // of each half
#define TAG_BYTES 16
#define COUNTER_BYTES 16

typedef struct {
    mp_obj_base_t base;
    hmac_key mac;
    mbedtls_aes_context encrypt;
    mbedtls_aes_context *decrypt; // made when the first frame is opened
    uint8_t key[KEY_BYTES]; // of the encryption
} frame_key_t;

static mp_obj_t frame_key_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 1, 1, false);
    mp_buffer_info_t key;
    mp_get_buffer_raise(args[0], &key, MP_BUFFER_READ);
    if (key.len != 2 * KEY_BYTES) {
        mp_raise_ValueError(MP_ERROR_TEXT("a key has 32 bytes"));
    }
    frame_key_t *self = mp_obj_malloc(frame_key_t, type);
    hmac_make(&self->mac, key.buf, KEY_BYTES);
    memcpy(self->key, (const uint8_t *)key.buf + KEY_BYTES, KEY_BYTES);
    mbedtls_aes_init(&self->encrypt);
    mbedcrypto_check(mbedtls_aes_setkey_enc(&self->encrypt, self->key, 8 * KEY_BYTES));
    self->decrypt = NULL;
    return MP_OBJ_FROM_PTR(self);
}

// The counter (any int that is not negative) as 16 bytes, encrypted.
static void make_iv(frame_key_t *self, mp_obj_t counter, uint8_t *iv) {
    uint8_t block[COUNTER_BYTES];
    if (mp_obj_is_small_int(counter)) {
        mp_uint_t rest = MP_OBJ_SMALL_INT_VALUE(counter);
        for (int i = COUNTER_BYTES - 1; i >= 0; i--, rest >>= 8) {
            block[i] = rest;
        }
    } else {
        mp_obj_int_to_bytes_impl(counter, true, COUNTER_BYTES, block);
    }
    mbedcrypto_check(mbedtls_aes_crypt_ecb(&self->encrypt, MBEDTLS_AES_ENCRYPT, block, iv));
}

// The MAC of aad, IV, body and aad's length in bits.
static void make_tag(
    const frame_key_t *self, const mp_buffer_info_t *aad, const uint8_t *iv, const uint8_t *body, size_t length,
    uint8_t *digest) {
    uint8_t bits[8] = {0};
    size_t rest = 8 * aad->len;
    for (int i = 7; rest; i--, rest >>= 8) {
        bits[i] = rest;
    }
    mbedtls_sha256_context context;
    hmac_begin(&context, &self->mac);
    int status = mbedtls_sha256_update(&context, aad->buf, aad->len);
    status = status ? status : mbedtls_sha256_update(&context, iv, AES_BLOCK_BYTES);
    status = status ? status : mbedtls_sha256_update(&context, body, length);
    status = status ? status : mbedtls_sha256_update(&context, bits, sizeof(bits));
    hmac_end(&context, &self->mac, digest);
    mbedcrypto_check(status);
}

// Encrypts a body in place and writes its tag behind it.
static void seal_body(frame_key_t *self, mp_obj_t counter, mp_obj_t aad_in, uint8_t *body, size_t length) {
    mp_buffer_info_t aad;
    mp_get_buffer_raise(aad_in, &aad, MP_BUFFER_READ);
    uint8_t iv[AES_BLOCK_BYTES], chain[AES_BLOCK_BYTES], digest[DIGEST_BYTES];
    make_iv(self, counter, iv);
    memcpy(chain, iv, sizeof(chain));
    mbedcrypto_check(mbedtls_aes_crypt_cbc(&self->encrypt, MBEDTLS_AES_ENCRYPT, length, chain, body, body));
    make_tag(self, &aad, iv, body, length, digest);
    memcpy(body + length, digest, TAG_BYTES);
}

// seal_in_place(counter, aad, frame)
static mp_obj_t frame_key_seal_in_place(size_t n_args, const mp_obj_t *args) {
    mp_buffer_info_t frame;
    mp_get_buffer_raise(args[3], &frame, MP_BUFFER_RW);
    if (frame.len < AES_BLOCK_BYTES + TAG_BYTES || frame.len % AES_BLOCK_BYTES != 0) {
        mp_raise_ValueError(MP_ERROR_TEXT("not a frame's length"));
    }
    uint8_t *body = frame.buf;
    size_t length = frame.len - TAG_BYTES;
    body[length - 1] = 1;
    seal_body(MP_OBJ_TO_PTR(args[0]), args[1], args[2], body, length);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(frame_key_seal_in_place_obj, 4, 4, frame_key_seal_in_place);

// seal(counter, aad, plaintext) -> bytes
static mp_obj_t frame_key_seal(size_t n_args, const mp_obj_t *args) {
    mp_buffer_info_t plaintext;
    mp_get_buffer_raise(args[3], &plaintext, MP_BUFFER_READ);
    size_t padding = AES_BLOCK_BYTES - plaintext.len % AES_BLOCK_BYTES, length = plaintext.len + padding;
    vstr_t sealed;
    vstr_init_len(&sealed, length + TAG_BYTES);
    memcpy(sealed.buf, plaintext.buf, plaintext.len);
    memset(sealed.buf + plaintext.len, padding, padding);
    seal_body(MP_OBJ_TO_PTR(args[0]), args[1], args[2], (uint8_t *)sealed.buf, length);
    return mp_obj_new_bytes_from_vstr(&sealed);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(frame_key_seal_obj, 4, 4, frame_key_seal);

static mbedtls_aes_context *decryption(frame_key_t *self) {
    if (self->decrypt == NULL) {
        self->decrypt = m_new_obj(mbedtls_aes_context);
        mbedtls_aes_init(self->decrypt);
        mbedcrypto_check(mbedtls_aes_setkey_dec(self->decrypt, self->key, 8 * KEY_BYTES));
    }
    return self->decrypt;
}

// open(counter, aad, sealed) -> the plaintext, None if it was not sealed so
static mp_obj_t frame_key_open(size_t n_args, const mp_obj_t *args) {
    frame_key_t *self = MP_OBJ_TO_PTR(args[0]);
    mp_buffer_info_t aad, sealed;
    mp_get_buffer_raise(args[2], &aad, MP_BUFFER_READ);
    mp_get_buffer_raise(args[3], &sealed, MP_BUFFER_READ);
    if (sealed.len < AES_BLOCK_BYTES + TAG_BYTES || sealed.len % AES_BLOCK_BYTES != 0) {
        return mp_const_none;
    }
    const uint8_t *body = sealed.buf;
    size_t length = sealed.len - TAG_BYTES;
    uint8_t iv[AES_BLOCK_BYTES], digest[DIGEST_BYTES];
    make_iv(self, args[1], iv);
    make_tag(self, &aad, iv, body, length, digest);
    if (mbedtls_ct_memcmp(body + length, digest, TAG_BYTES) != 0) {
        return mp_const_none;
    }
    vstr_t plaintext;
    vstr_init_len(&plaintext, length);
    uint8_t *out = (uint8_t *)plaintext.buf;
    mbedcrypto_check(mbedtls_aes_crypt_cbc(decryption(self), MBEDTLS_AES_DECRYPT, length, iv, body, out));
    size_t padding = out[length - 1];
    if (padding < 1 || padding > AES_BLOCK_BYTES) {
        return mp_const_none;
    }
    for (size_t i = 1; i <= padding; i++) {
        if (out[length - i] != padding) {
            return mp_const_none;
        }
    }
    plaintext.len -= padding;
    return mp_obj_new_bytes_from_vstr(&plaintext);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(frame_key_open_obj, 4, 4, frame_key_open);

static const mp_rom_map_elem_t frame_key_locals_table[] = {
    { MP_ROM_QSTR(MP_QSTR_open), MP_ROM_PTR(&frame_key_open_obj) },
    { MP_ROM_QSTR(MP_QSTR_seal), MP_ROM_PTR(&frame_key_seal_obj) },
    { MP_ROM_QSTR(MP_QSTR_seal_in_place), MP_ROM_PTR(&frame_key_seal_in_place_obj) },
};
static MP_DEFINE_CONST_DICT(frame_key_locals, frame_key_locals_table);

MP_DEFINE_CONST_OBJ_TYPE(
    frame_key_type,
    MP_QSTR_FrameKey,
    MP_TYPE_FLAG_NONE,
    make_new, frame_key_make_new,
    locals_dict, &frame_key_locals
    );
