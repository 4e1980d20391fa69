// The module mbedcrypto: HMAC-SHA-256 under a key whose two padded blocks are hashed once, and comparison in constant
// time. The C tier of firmware/tessera/hashes.py, which describes the interface. Owns arguments and errors; the work is
// mbedTLS's, which MicroPython's own hashlib and cryptolib are made of too.

#include <string.h>

#include "py/runtime.h"

#include <mbedtls/constant_time.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>

#define BLOCK_BYTES 64
#define DIGEST_BYTES 32

static void check(int status) {
    if (status != 0) {
        mp_raise_msg_varg(&mp_type_RuntimeError, MP_ERROR_TEXT("mbedTLS: SHA-256 failed (%d)"), status);
    }
}

// -- HmacKey

typedef struct {
    mp_obj_base_t base;
    mbedtls_sha256_context inner; // after the block key ^ ipad
    mbedtls_sha256_context outer; // after the block key ^ opad
} hmac_key_t;

static void begin(mbedtls_sha256_context *context, const uint8_t *key, uint8_t pad) {
    uint8_t block[BLOCK_BYTES];
    for (size_t i = 0; i < BLOCK_BYTES; i++) {
        block[i] = key[i] ^ pad;
    }
    mbedtls_sha256_init(context);
    check(mbedtls_sha256_starts(context, 0));
    check(mbedtls_sha256_update(context, block, BLOCK_BYTES));
    mbedtls_platform_zeroize(block, sizeof(block));
}

static mp_obj_t make_hmac_key(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 1, 1, false);
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(args[0], &buffer, MP_BUFFER_READ);
    hmac_key_t *self = mp_obj_malloc(hmac_key_t, type);
    uint8_t key[BLOCK_BYTES] = {0};
    if (buffer.len > BLOCK_BYTES) {
        check(mbedtls_sha256(buffer.buf, buffer.len, key, 0));
    } else {
        memcpy(key, buffer.buf, buffer.len);
    }
    begin(&self->inner, key, 0x36);
    begin(&self->outer, key, 0x5c);
    mbedtls_platform_zeroize(key, sizeof(key));
    return MP_OBJ_FROM_PTR(self);
}

// HMAC of the parts (objects with the buffer protocol) into 32 bytes.
static void hmac(const hmac_key_t *self, size_t n_parts, const mp_obj_t *parts, uint8_t *digest) {
    mp_buffer_info_t buffer;
    for (size_t i = 0; i < n_parts; i++) { // what can raise comes before there is a state to clear
        mp_get_buffer_raise(parts[i], &buffer, MP_BUFFER_READ);
    }
    mbedtls_sha256_context context;
    mbedtls_sha256_init(&context);
    mbedtls_sha256_clone(&context, &self->inner);
    int status = 0;
    for (size_t i = 0; i < n_parts && status == 0; i++) {
        mp_get_buffer(parts[i], &buffer, MP_BUFFER_READ);
        status = mbedtls_sha256_update(&context, buffer.buf, buffer.len);
    }
    if (status == 0) {
        status = mbedtls_sha256_finish(&context, digest);
    }
    mbedtls_sha256_clone(&context, &self->outer);
    if (status == 0) {
        status = mbedtls_sha256_update(&context, digest, DIGEST_BYTES);
    }
    if (status == 0) {
        status = mbedtls_sha256_finish(&context, digest);
    }
    mbedtls_sha256_free(&context);
    check(status);
}

static mp_buffer_info_t tag_buffer(mp_obj_t object, mp_uint_t flags) {
    mp_buffer_info_t tag;
    mp_get_buffer_raise(object, &tag, flags);
    if (tag.len < 1 || tag.len > DIGEST_BYTES) {
        mp_raise_ValueError(MP_ERROR_TEXT("a tag has 1 to 32 bytes"));
    }
    return tag;
}

// digest(*parts) -> 32 bytes
static mp_obj_t hmac_key_digest(size_t n_args, const mp_obj_t *args) {
    vstr_t digest;
    vstr_init_len(&digest, DIGEST_BYTES);
    hmac(MP_OBJ_TO_PTR(args[0]), n_args - 1, args + 1, (uint8_t *)digest.buf);
    return mp_obj_new_bytes_from_vstr(&digest);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR(hmac_key_digest_obj, 1, hmac_key_digest);

// digest_into(out, *parts): write the first bytes of the digest over out (1 to 32 bytes)
static mp_obj_t hmac_key_digest_into(size_t n_args, const mp_obj_t *args) {
    uint8_t digest[DIGEST_BYTES];
    mp_buffer_info_t out = tag_buffer(args[1], MP_BUFFER_WRITE);
    hmac(MP_OBJ_TO_PTR(args[0]), n_args - 2, args + 2, digest);
    memcpy(out.buf, digest, out.len);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR(hmac_key_digest_into_obj, 2, hmac_key_digest_into);

// verify(tag, *parts) -> whether the digest begins with the tag (1 to 32 bytes)
static mp_obj_t hmac_key_verify(size_t n_args, const mp_obj_t *args) {
    uint8_t digest[DIGEST_BYTES];
    mp_buffer_info_t tag = tag_buffer(args[1], MP_BUFFER_READ);
    hmac(MP_OBJ_TO_PTR(args[0]), n_args - 2, args + 2, digest);
    return mp_obj_new_bool(mbedtls_ct_memcmp(tag.buf, digest, tag.len) == 0);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR(hmac_key_verify_obj, 2, hmac_key_verify);

static const mp_rom_map_elem_t hmac_key_locals_table[] = {
    { MP_ROM_QSTR(MP_QSTR_digest), MP_ROM_PTR(&hmac_key_digest_obj) },
    { MP_ROM_QSTR(MP_QSTR_digest_into), MP_ROM_PTR(&hmac_key_digest_into_obj) },
    { MP_ROM_QSTR(MP_QSTR_verify), MP_ROM_PTR(&hmac_key_verify_obj) },
};
static MP_DEFINE_CONST_DICT(hmac_key_locals, hmac_key_locals_table);

static MP_DEFINE_CONST_OBJ_TYPE(
    hmac_key_type,
    MP_QSTR_HmacKey,
    MP_TYPE_FLAG_NONE,
    make_new, make_hmac_key,
    locals_dict, &hmac_key_locals
    );

// -- comparison

// equal(left, right) -> bool; the time depends on the lengths only
static mp_obj_t equal(mp_obj_t left, mp_obj_t right) {
    mp_buffer_info_t a, b;
    mp_get_buffer_raise(left, &a, MP_BUFFER_READ);
    mp_get_buffer_raise(right, &b, MP_BUFFER_READ);
    return mp_obj_new_bool(a.len == b.len && mbedtls_ct_memcmp(a.buf, b.buf, a.len) == 0);
}
static MP_DEFINE_CONST_FUN_OBJ_2(equal_obj, equal);

// -- module

static const mp_rom_map_elem_t globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_mbedcrypto) },
    { MP_ROM_QSTR(MP_QSTR_HmacKey), MP_ROM_PTR(&hmac_key_type) },
    { MP_ROM_QSTR(MP_QSTR_equal), MP_ROM_PTR(&equal_obj) },
};
static MP_DEFINE_CONST_DICT(globals, globals_table);

const mp_obj_module_t mbedcrypto_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&globals,
};

MP_REGISTER_MODULE(MP_QSTR_mbedcrypto, mbedcrypto_module);
