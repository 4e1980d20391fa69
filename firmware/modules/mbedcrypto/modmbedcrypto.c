// The module mbedcrypto: the C tiers of firmware/tessera/hashes.py (here), aead.py (frames.c), cover.py (dummies.c) and
// page.py (pages.c), which describe the interfaces. Owns arguments and errors; the work is mbedTLS's, which MicroPython's
// own hashlib and cryptolib are made of too. One call in place of many: objects in between cost more than what is computed.

#include <string.h>

#include "py/runtime.h"

#include <mbedtls/constant_time.h>
#include <mbedtls/platform_util.h>

#include "hmac.h"
#include "types.h"

void mbedcrypto_check(int status) {
    if (status != 0) {
        mp_raise_msg_varg(&mp_type_RuntimeError, MP_ERROR_TEXT("mbedTLS failed (%d)"), status);
    }
}

// -- HMAC

static void begin(mbedtls_sha256_context *context, const uint8_t *key, uint8_t pad) {
    uint8_t block[BLOCK_BYTES];
    for (size_t i = 0; i < BLOCK_BYTES; i++) {
        block[i] = key[i] ^ pad;
    }
    mbedtls_sha256_init(context);
    mbedcrypto_check(mbedtls_sha256_starts(context, 0));
    mbedcrypto_check(mbedtls_sha256_update(context, block, BLOCK_BYTES));
    mbedtls_platform_zeroize(block, sizeof(block));
}

void hmac_make(hmac_key *key, const uint8_t *bytes, size_t length) {
    uint8_t padded[BLOCK_BYTES] = {0};
    if (length > BLOCK_BYTES) {
        mbedcrypto_check(mbedtls_sha256(bytes, length, padded, 0));
    } else {
        memcpy(padded, bytes, length);
    }
    begin(&key->inner, padded, 0x36);
    begin(&key->outer, padded, 0x5c);
    mbedtls_platform_zeroize(padded, sizeof(padded));
}

void hmac_begin(mbedtls_sha256_context *context, const hmac_key *key) {
    mbedtls_sha256_init(context);
    mbedtls_sha256_clone(context, &key->inner);
}

void hmac_end(mbedtls_sha256_context *context, const hmac_key *key, uint8_t *digest) {
    int status = mbedtls_sha256_finish(context, digest);
    mbedtls_sha256_clone(context, &key->outer);
    if (status == 0) {
        status = mbedtls_sha256_update(context, digest, DIGEST_BYTES);
    }
    if (status == 0) {
        status = mbedtls_sha256_finish(context, digest);
    }
    mbedtls_sha256_free(context);
    mbedcrypto_check(status);
}

// What can raise comes before there is a state to clear.
static void need_buffers(size_t n_parts, const mp_obj_t *parts) {
    mp_buffer_info_t buffer;
    for (size_t i = 0; i < n_parts; i++) {
        mp_get_buffer_raise(parts[i], &buffer, MP_BUFFER_READ);
    }
}

static int update(mbedtls_sha256_context *context, size_t n_parts, const mp_obj_t *parts) {
    int status = 0;
    for (size_t i = 0; i < n_parts && status == 0; i++) {
        mp_buffer_info_t buffer;
        mp_get_buffer(parts[i], &buffer, MP_BUFFER_READ);
        status = mbedtls_sha256_update(context, buffer.buf, buffer.len);
    }
    return status;
}

// HMAC of the parts (objects with the buffer protocol) into 32 bytes.
static void hmac(const hmac_key *key, size_t n_parts, const mp_obj_t *parts, uint8_t *digest) {
    need_buffers(n_parts, parts);
    mbedtls_sha256_context context;
    hmac_begin(&context, key);
    int status = update(&context, n_parts, parts);
    hmac_end(&context, key, digest);
    mbedcrypto_check(status);
}

static mp_obj_t digest_object(const uint8_t *digest) {
    return mp_obj_new_bytes(digest, DIGEST_BYTES);
}

// hmac_sha256(key, *parts) -> 32 bytes
static mp_obj_t hmac_sha256(size_t n_args, const mp_obj_t *args) {
    mp_buffer_info_t bytes;
    mp_get_buffer_raise(args[0], &bytes, MP_BUFFER_READ);
    need_buffers(n_args - 1, args + 1);
    hmac_key key;
    uint8_t digest[DIGEST_BYTES];
    hmac_make(&key, bytes.buf, bytes.len);
    hmac(&key, n_args - 1, args + 1, digest);
    mbedtls_platform_zeroize(&key, sizeof(key));
    return digest_object(digest);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR(hmac_sha256_obj, 1, hmac_sha256);

// -- SHA-256 and HKDF

// sha256(*parts) -> 32 bytes, of the parts joined
static mp_obj_t sha256(size_t n_args, const mp_obj_t *args) {
    need_buffers(n_args, args);
    mbedtls_sha256_context context;
    uint8_t digest[DIGEST_BYTES];
    mbedtls_sha256_init(&context);
    int status = mbedtls_sha256_starts(&context, 0);
    if (status == 0) {
        status = update(&context, n_args, args);
    }
    if (status == 0) {
        status = mbedtls_sha256_finish(&context, digest);
    }
    mbedtls_sha256_free(&context);
    mbedcrypto_check(status);
    return digest_object(digest);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR(sha256_obj, 1, sha256);

// RFC 5869: length bytes, at most 255 blocks.
static mp_obj_t expand(const uint8_t *prk, size_t prk_bytes, mp_obj_t info_in, mp_obj_t length_in) {
    mp_buffer_info_t info;
    mp_get_buffer_raise(info_in, &info, MP_BUFFER_READ);
    mp_int_t length = mp_obj_get_int(length_in);
    if (length < 0 || length > 255 * DIGEST_BYTES) {
        mp_raise_ValueError(MP_ERROR_TEXT("0 to 8160 bytes"));
    }
    vstr_t out;
    vstr_init_len(&out, length);
    hmac_key key;
    uint8_t block[DIGEST_BYTES];
    hmac_make(&key, prk, prk_bytes);
    uint8_t counter = 0;
    for (mp_int_t at = 0; at < length; at += DIGEST_BYTES) {
        mbedtls_sha256_context context;
        hmac_begin(&context, &key);
        int status = counter == 0 ? 0 : mbedtls_sha256_update(&context, block, DIGEST_BYTES);
        counter++;
        if (status == 0) {
            status = mbedtls_sha256_update(&context, info.buf, info.len);
        }
        if (status == 0) {
            status = mbedtls_sha256_update(&context, &counter, 1);
        }
        hmac_end(&context, &key, block);
        mbedcrypto_check(status);
        memcpy(out.buf + at, block, MIN(DIGEST_BYTES, length - at));
    }
    mbedtls_platform_zeroize(&key, sizeof(key));
    mbedtls_platform_zeroize(block, sizeof(block));
    return mp_obj_new_bytes_from_vstr(&out);
}

// hkdf_expand(prk, info, length) -> bytes
static mp_obj_t hkdf_expand(mp_obj_t prk_in, mp_obj_t info_in, mp_obj_t length_in) {
    mp_buffer_info_t prk;
    mp_get_buffer_raise(prk_in, &prk, MP_BUFFER_READ);
    return expand(prk.buf, prk.len, info_in, length_in);
}
static MP_DEFINE_CONST_FUN_OBJ_3(hkdf_expand_obj, hkdf_expand);

// hkdf(salt, ikm, info, length) -> bytes; an empty salt is the RFC's string of zeros
static mp_obj_t hkdf(size_t n_args, const mp_obj_t *args) {
    mp_buffer_info_t salt;
    mp_get_buffer_raise(args[0], &salt, MP_BUFFER_READ);
    need_buffers(1, args + 1);
    hmac_key key;
    uint8_t prk[DIGEST_BYTES];
    hmac_make(&key, salt.buf, salt.len);
    hmac(&key, 1, args + 1, prk);
    mbedtls_platform_zeroize(&key, sizeof(key));
    mp_obj_t out = expand(prk, sizeof(prk), args[2], args[3]);
    mbedtls_platform_zeroize(prk, sizeof(prk));
    return out;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(hkdf_obj, 4, 4, hkdf);

// -- HmacKey

typedef struct {
    mp_obj_base_t base;
    hmac_key key;
} hmac_key_t;

static mp_obj_t make_hmac_key(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 1, 1, false);
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(args[0], &buffer, MP_BUFFER_READ);
    hmac_key_t *self = mp_obj_malloc(hmac_key_t, type);
    hmac_make(&self->key, buffer.buf, buffer.len);
    return MP_OBJ_FROM_PTR(self);
}

static const hmac_key *key_of(mp_obj_t self_in) {
    return &((hmac_key_t *)MP_OBJ_TO_PTR(self_in))->key;
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
    uint8_t digest[DIGEST_BYTES];
    hmac(key_of(args[0]), n_args - 1, args + 1, digest);
    return digest_object(digest);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR(hmac_key_digest_obj, 1, hmac_key_digest);

// digest_into(out, *parts): write the first bytes of the digest over out (1 to 32 bytes)
static mp_obj_t hmac_key_digest_into(size_t n_args, const mp_obj_t *args) {
    uint8_t digest[DIGEST_BYTES];
    mp_buffer_info_t out = tag_buffer(args[1], MP_BUFFER_WRITE);
    hmac(key_of(args[0]), n_args - 2, args + 2, digest);
    memcpy(out.buf, digest, out.len);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR(hmac_key_digest_into_obj, 2, hmac_key_digest_into);

// verify(tag, *parts) -> whether the digest begins with the tag (1 to 32 bytes)
static mp_obj_t hmac_key_verify(size_t n_args, const mp_obj_t *args) {
    uint8_t digest[DIGEST_BYTES];
    mp_buffer_info_t tag = tag_buffer(args[1], MP_BUFFER_READ);
    hmac(key_of(args[0]), n_args - 2, args + 2, digest);
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
    { MP_ROM_QSTR(MP_QSTR_Dummies), MP_ROM_PTR(&dummies_type) },
    { MP_ROM_QSTR(MP_QSTR_FrameKey), MP_ROM_PTR(&frame_key_type) },
    { MP_ROM_QSTR(MP_QSTR_HmacKey), MP_ROM_PTR(&hmac_key_type) },
    { MP_ROM_QSTR(MP_QSTR_PageKey), MP_ROM_PTR(&page_key_type) },
    { MP_ROM_QSTR(MP_QSTR_PageSearch), MP_ROM_PTR(&page_search_type) },
    { MP_ROM_QSTR(MP_QSTR_equal), MP_ROM_PTR(&equal_obj) },
    { MP_ROM_QSTR(MP_QSTR_hkdf), MP_ROM_PTR(&hkdf_obj) },
    { MP_ROM_QSTR(MP_QSTR_hkdf_expand), MP_ROM_PTR(&hkdf_expand_obj) },
    { MP_ROM_QSTR(MP_QSTR_hmac_sha256), MP_ROM_PTR(&hmac_sha256_obj) },
    { MP_ROM_QSTR(MP_QSTR_sha256), MP_ROM_PTR(&sha256_obj) },
};
static MP_DEFINE_CONST_DICT(globals, globals_table);

const mp_obj_module_t mbedcrypto_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&globals,
};

MP_REGISTER_MODULE(MP_QSTR_mbedcrypto, mbedcrypto_module);
