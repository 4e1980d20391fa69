// Dummies: the dummies of one cell (PROTOCOL §8). The C tier of firmware/tessera/cover.py, which describes the interface.

#include <string.h>

#include "py/runtime.h"

#include <mbedtls/aes.h>

#include "hmac.h"
#include "types.h"

#define KEY_BYTES 32
#define DUMMY_BYTES 240
#define HEAD_BYTES 8
#define NUMBER_AT (AES_BLOCK_BYTES - 4) // of the u128 that it is

typedef struct {
    mp_obj_base_t base;
    mbedtls_aes_context encrypt;
} dummies_t;

static const uint32_t zeros[DUMMY_BYTES / 4];

// Dummies(key)
static mp_obj_t dummies_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 1, 1, false);
    mp_buffer_info_t key;
    mp_get_buffer_raise(args[0], &key, MP_BUFFER_READ);
    if (key.len != KEY_BYTES) {
        mp_raise_ValueError(MP_ERROR_TEXT("a key has 32 bytes"));
    }
    dummies_t *self = mp_obj_malloc(dummies_t, type);
    mbedtls_aes_init(&self->encrypt);
    mbedcrypto_check(mbedtls_aes_setkey_enc(&self->encrypt, key.buf, 8 * KEY_BYTES));
    return MP_OBJ_FROM_PTR(self);
}

static void put_number(uint8_t block[AES_BLOCK_BYTES], uint32_t number) {
    memset(block, 0, NUMBER_AT);
    for (int i = 0; i < 4; i++) {
        block[NUMBER_AT + i] = number >> (24 - 8 * i);
    }
}

// make(number, out): a dummy into 240 bytes
static mp_obj_t dummies_make(mp_obj_t self_in, mp_obj_t number_in, mp_obj_t out_in) {
    dummies_t *self = MP_OBJ_TO_PTR(self_in);
    mp_buffer_info_t out;
    mp_get_buffer_raise(out_in, &out, MP_BUFFER_WRITE);
    if (out.len != DUMMY_BYTES) {
        mp_raise_ValueError(MP_ERROR_TEXT("a dummy has 240 bytes"));
    }
    uint8_t chain[AES_BLOCK_BYTES];
    put_number(chain, mp_obj_get_int_truncated(number_in));
    mbedcrypto_check(mbedtls_aes_crypt_cbc(
        &self->encrypt, MBEDTLS_AES_ENCRYPT, DUMMY_BYTES, chain, (const uint8_t *)zeros, out.buf));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_3(dummies_make_obj, dummies_make);

// heads(count, out, first): the first 8 bytes of dummies 0 to count - 1, to the places from first on in out
static mp_obj_t dummies_heads(size_t n_args, const mp_obj_t *args) {
    dummies_t *self = MP_OBJ_TO_PTR(args[0]);
    mp_int_t count = mp_obj_get_int(args[1]), first = mp_obj_get_int(args[3]);
    mp_buffer_info_t out;
    mp_get_buffer_raise(args[2], &out, MP_BUFFER_WRITE);
    mp_int_t places = out.len / HEAD_BYTES;
    if (count < 0 || first < 0 || first > places || count > places - first) {
        mp_raise_ValueError(MP_ERROR_TEXT("no room for the heads"));
    }
    uint8_t *to = (uint8_t *)out.buf + HEAD_BYTES * first, block[AES_BLOCK_BYTES];
    for (mp_int_t number = 0; number < count; number++, to += HEAD_BYTES) {
        put_number(block, number);
        mbedcrypto_check(mbedtls_aes_crypt_ecb(&self->encrypt, MBEDTLS_AES_ENCRYPT, block, block));
        memcpy(to, block, HEAD_BYTES);
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(dummies_heads_obj, 4, 4, dummies_heads);

static const mp_rom_map_elem_t dummies_locals_table[] = {
    { MP_ROM_QSTR(MP_QSTR_heads), MP_ROM_PTR(&dummies_heads_obj) },
    { MP_ROM_QSTR(MP_QSTR_make), MP_ROM_PTR(&dummies_make_obj) },
};
static MP_DEFINE_CONST_DICT(dummies_locals, dummies_locals_table);

MP_DEFINE_CONST_OBJ_TYPE(
    dummies_type,
    MP_QSTR_Dummies,
    MP_TYPE_FLAG_NONE,
    make_new, dummies_make_new,
    locals_dict, &dummies_locals
    );
