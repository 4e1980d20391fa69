// The module secp256k1: the C tier of firmware/tessera/curve.py, which describes the interface. Owns types, arguments,
// errors, the context and the stack; the mathematics is libsecp256k1's (library.c), and prepared_key_impl.h's.
//
// What runs in constant time (sign, public, dh) takes its secret through secret_bytes(), which knows the type Secret.
// What runs in variable time (verify, tweak_add, Point, PreparedKey) takes bytes through sized(), to which a Secret has
// none: it is no buffer.
//
// Two contexts: the library's static one for public numbers and for DH, and one of our own for what multiplies the
// generator by a secret, which the static one cannot do and randomize() can blind.
//
// Secrets: the library's operations on them run in constant time, but what it leaves on the stack it clears with plain
// stores, which compilers drop (0.5.0). So they run one call deeper, and wipe_stack() overwrites where they ran.

#include <string.h>

#include "py/cstack.h"
#include "py/objstr.h"
#include "py/runtime.h"

#include <secp256k1.h>
#include <secp256k1_ecdh.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_preallocated.h>
#include <secp256k1_schnorrsig.h>

#include "prepared_key.h"

#define TEXT_OF(token) #token
#define TEXT(macro) TEXT_OF(macro)

#define SCALAR_BYTES 32
#define POINT_BYTES 33
#define SIGNATURE_BYTES 64

// Stack: the deepest is verify, 3 KB of it tables of one multiplication; the deepest with secrets is dh. `make c-stack`
// lists all on x86-64 (verify 4616 bytes, with GCC 12), tools/build/c_stack.py on the build folder of an image all there (4408 on
// an RP2040). MicroPython gives an RP2040 8 KB. `make test` fails if a function uses more than STACK_BYTES or secrets lie
// deeper than WIPED_BYTES; with less than STACK_BYTES left a function raises RuntimeError. The library's own field, of ten
// words, takes more: 5512 and 5360 bytes.
#if defined(TESSERA_FIELD_M0) || defined(TESSERA_FIELD_PORTABLE)
#define STACK_BYTES 4864
#define WIPED_BYTES 4096
#else
#define STACK_BYTES 5632
#define WIPED_BYTES 5120
#endif

extern secp256k1_context modsecp256k1_context;

// -- what would be abort() in the library

NORETURN static void fail(const char *text, void *data) {
    (void)data;
    mp_raise_msg_varg(&mp_type_RuntimeError, MP_ERROR_TEXT("libsecp256k1: %s"), text);
}

void secp256k1_default_illegal_callback_fn(const char *text, void *data) {
    fail(text, data);
}

void secp256k1_default_error_callback_fn(const char *text, void *data) {
    fail(text, data);
}

// -- the stack

static void need_stack(void) {
    #if MICROPY_STACK_CHECK
    if (mp_cstack_usage() + STACK_BYTES > MP_STATE_THREAD(stack_limit)) {
        mp_raise_recursion_depth();
    }
    #endif
}

// Called from the function that called the one which held the secrets, so that it covers the same part of the stack.
static MP_NOINLINE void wipe_stack(void) {
    volatile uint32_t words[WIPED_BYTES / sizeof(uint32_t)];
    for (size_t i = 0; i < MP_ARRAY_SIZE(words); i++) {
        words[i] = 0;
    }
}

// -- arguments and results

// The bytes of an object with the buffer protocol, NULL if they are not as many as expected.
static const uint8_t *sized(mp_obj_t object, size_t size) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(object, &buffer, MP_BUFFER_READ);
    return buffer.len == size ? buffer.buf : NULL;
}

static const uint8_t *sized_or_raise(mp_obj_t object, size_t size) {
    const uint8_t *data = sized(object, size);
    if (data == NULL) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("%d bytes expected"), (int)size);
    }
    return data;
}

// The one argument of a type's call.
static mp_obj_t only_argument(size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 1, 1, false);
    return args[0];
}

static mp_obj_t compressed(const secp256k1_pubkey *key) {
    uint8_t point[POINT_BYTES];
    size_t size = sizeof(point);
    secp256k1_ec_pubkey_serialize(secp256k1_context_static, point, &size, key, SECP256K1_EC_COMPRESSED);
    return mp_obj_new_bytes(point, size);
}

// -- the context for secrets

static secp256k1_context *own_context(void) {
    static secp256k1_context *context;
    if (context == NULL) {
        context = secp256k1_context_preallocated_create(&modsecp256k1_context, SECP256K1_CONTEXT_NONE);
    }
    return context;
}

static mp_obj_t randomize(mp_obj_t seed_in) {
    const uint8_t *seed = sized_or_raise(seed_in, SCALAR_BYTES);
    need_stack();
    bool done = secp256k1_context_randomize(own_context(), seed);
    wipe_stack();
    if (!done) {
        mp_raise_msg(&mp_type_RuntimeError, MP_ERROR_TEXT("the context takes no seed"));
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(randomize_obj, randomize);

// -- Secret: 32 bytes that only what runs in constant time can read

typedef struct {
    mp_obj_base_t base;
    uint8_t bytes[SCALAR_BYTES];
} secret_obj_t;

static mp_obj_t secret_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    const uint8_t *secret = sized_or_raise(only_argument(n_args, n_kw, args), SCALAR_BYTES);
    need_stack();
    bool good = secp256k1_ec_seckey_verify(secp256k1_context_static, secret);
    wipe_stack();
    if (!good) {
        mp_raise_ValueError(MP_ERROR_TEXT("not a secret key"));
    }
    secret_obj_t *self = mp_obj_malloc(secret_obj_t, type);
    memcpy(self->bytes, secret, SCALAR_BYTES);
    return MP_OBJ_FROM_PTR(self);
}

static MP_DEFINE_CONST_OBJ_TYPE(secret_type, MP_QSTR_Secret, MP_TYPE_FLAG_NONE, make_new, secret_make_new);

// Of a Secret, or 32 bytes whose caller answers for them; whether bytes are in range is the library's to say.
static const uint8_t *secret_bytes(mp_obj_t object) {
    if (mp_obj_is_type(object, &secret_type)) {
        return ((secret_obj_t *)MP_OBJ_TO_PTR(object))->bytes;
    }
    return sized_or_raise(object, SCALAR_BYTES);
}

// -- Point: a public point, its square root taken

typedef struct {
    mp_obj_base_t base;
    secp256k1_pubkey point;
} point_obj_t;

static void parse_point(secp256k1_pubkey *point, mp_obj_t object) {
    const uint8_t *data = sized_or_raise(object, POINT_BYTES);
    need_stack();
    if (!secp256k1_ec_pubkey_parse(secp256k1_context_static, point, data, POINT_BYTES)) {
        mp_raise_ValueError(MP_ERROR_TEXT("not a point of the curve"));
    }
}

static mp_obj_t point_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    secp256k1_pubkey point;
    parse_point(&point, only_argument(n_args, n_kw, args));
    point_obj_t *self = mp_obj_malloc(point_obj_t, type);
    self->point = point;
    return MP_OBJ_FROM_PTR(self);
}

static MP_DEFINE_CONST_OBJ_TYPE(point_type, MP_QSTR_Point, MP_TYPE_FLAG_NONE, make_new, point_make_new);

// -- PreparedKey: a public key with its table

typedef struct {
    mp_obj_base_t base;
    prepared_key prepared;
} prepared_obj_t;

static mp_obj_t prepared_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    const uint8_t *key = sized_or_raise(only_argument(n_args, n_kw, args), SCALAR_BYTES);
    need_stack();
    prepared_obj_t *self = mp_obj_malloc(prepared_obj_t, type);
    if (!prepared_key_make(&self->prepared, key)) {
        mp_raise_ValueError(MP_ERROR_TEXT("not a point of the curve"));
    }
    return MP_OBJ_FROM_PTR(self);
}

static MP_DEFINE_CONST_OBJ_TYPE(prepared_type, MP_QSTR_PreparedKey, MP_TYPE_FLAG_NONE, make_new, prepared_make_new);

// -- BIP-340

static mp_obj_t verify(mp_obj_t signature_in, mp_obj_t message_in, mp_obj_t key_in) {
    const uint8_t *signature = sized(signature_in, SIGNATURE_BYTES);
    const uint8_t *message = sized(message_in, SCALAR_BYTES);
    bool prepared = mp_obj_is_type(key_in, &prepared_type);
    const uint8_t *key_bytes = prepared ? NULL : sized(key_in, SCALAR_BYTES);
    if (signature == NULL || message == NULL || (key_bytes == NULL && !prepared)) {
        return mp_const_false;
    }
    need_stack();
    if (prepared) {
        prepared_obj_t *self = MP_OBJ_TO_PTR(key_in);
        return mp_obj_new_bool(prepared_key_verify(&self->prepared, signature, message));
    }
    secp256k1_xonly_pubkey key;
    return mp_obj_new_bool(secp256k1_xonly_pubkey_parse(secp256k1_context_static, &key, key_bytes)
        && secp256k1_schnorrsig_verify(secp256k1_context_static, signature, message, SCALAR_BYTES, &key));
}
static MP_DEFINE_CONST_FUN_OBJ_3(verify_obj, verify);

static MP_NOINLINE bool make_signature(
    uint8_t *signature, const uint8_t *secret, const uint8_t *message, const uint8_t *random) {
    secp256k1_keypair pair;
    return secp256k1_keypair_create(own_context(), &pair, secret)
           && secp256k1_schnorrsig_sign32(own_context(), signature, message, &pair, random);
}

static mp_obj_t sign(mp_obj_t secret_in, mp_obj_t message_in, mp_obj_t random_in) {
    const uint8_t *secret = secret_bytes(secret_in);
    const uint8_t *message = sized_or_raise(message_in, SCALAR_BYTES);
    const uint8_t *random = sized_or_raise(random_in, SCALAR_BYTES);
    need_stack();
    uint8_t signature[SIGNATURE_BYTES];
    bool made = make_signature(signature, secret, message, random);
    wipe_stack();
    if (!made) {
        mp_raise_ValueError(MP_ERROR_TEXT("not a secret key"));
    }
    return mp_obj_new_bytes(signature, sizeof(signature));
}
static MP_DEFINE_CONST_FUN_OBJ_3(sign_obj, sign);

// -- keys and DH

static mp_obj_t public(mp_obj_t secret_in) {
    const uint8_t *secret = secret_bytes(secret_in);
    need_stack();
    secp256k1_pubkey key;
    bool made = secp256k1_ec_pubkey_create(own_context(), &key, secret);
    wipe_stack();
    if (!made) {
        mp_raise_ValueError(MP_ERROR_TEXT("not a secret key"));
    }
    return compressed(&key);
}
static MP_DEFINE_CONST_FUN_OBJ_1(public_obj, public);

static mp_obj_t dh(mp_obj_t secret_in, mp_obj_t point_in) {
    const uint8_t *secret = secret_bytes(secret_in);
    secp256k1_pubkey parsed;
    const secp256k1_pubkey *point = &parsed;
    if (mp_obj_is_type(point_in, &point_type)) {
        point = &((point_obj_t *)MP_OBJ_TO_PTR(point_in))->point;
    } else {
        parse_point(&parsed, point_in);
    }
    need_stack();
    uint8_t shared[SCALAR_BYTES];
    bool made = secp256k1_ecdh(secp256k1_context_static, shared, point, secret, NULL, NULL);
    wipe_stack();
    if (!made) {
        mp_raise_ValueError(MP_ERROR_TEXT("not a secret key"));
    }
    return mp_obj_new_bytes(shared, sizeof(shared));
}
static MP_DEFINE_CONST_FUN_OBJ_2(dh_obj, dh);

static mp_obj_t tweak_add(mp_obj_t key_in, mp_obj_t tweak_in) {
    const uint8_t *key_bytes = sized_or_raise(key_in, SCALAR_BYTES);
    const uint8_t *tweak = sized_or_raise(tweak_in, SCALAR_BYTES);
    need_stack();
    secp256k1_xonly_pubkey key;
    if (!secp256k1_xonly_pubkey_parse(secp256k1_context_static, &key, key_bytes)) {
        mp_raise_ValueError(MP_ERROR_TEXT("not a point of the curve"));
    }
    secp256k1_pubkey sum;
    if (!secp256k1_xonly_pubkey_tweak_add(secp256k1_context_static, &sum, &key, tweak)) {
        mp_raise_ValueError(MP_ERROR_TEXT("not a scalar, or the point at infinity"));
    }
    return compressed(&sum);
}
static MP_DEFINE_CONST_FUN_OBJ_2(tweak_add_obj, tweak_add);

static const MP_DEFINE_STR_OBJ(tier_obj, "libsecp256k1 " TEXT(LIBSECP256K1_VERSION));

static const mp_rom_map_elem_t globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_secp256k1) },
    { MP_ROM_QSTR(MP_QSTR_Point), MP_ROM_PTR(&point_type) },
    { MP_ROM_QSTR(MP_QSTR_PreparedKey), MP_ROM_PTR(&prepared_type) },
    { MP_ROM_QSTR(MP_QSTR_Secret), MP_ROM_PTR(&secret_type) },
    { MP_ROM_QSTR(MP_QSTR_TIER), MP_ROM_PTR(&tier_obj) },
    { MP_ROM_QSTR(MP_QSTR_dh), MP_ROM_PTR(&dh_obj) },
    { MP_ROM_QSTR(MP_QSTR_public), MP_ROM_PTR(&public_obj) },
    { MP_ROM_QSTR(MP_QSTR_randomize), MP_ROM_PTR(&randomize_obj) },
    { MP_ROM_QSTR(MP_QSTR_sign), MP_ROM_PTR(&sign_obj) },
    { MP_ROM_QSTR(MP_QSTR_tweak_add), MP_ROM_PTR(&tweak_add_obj) },
    { MP_ROM_QSTR(MP_QSTR_verify), MP_ROM_PTR(&verify_obj) },
};
static MP_DEFINE_CONST_DICT(globals, globals_table);

const mp_obj_module_t secp256k1_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&globals,
};

MP_REGISTER_MODULE(MP_QSTR_secp256k1, secp256k1_module);
