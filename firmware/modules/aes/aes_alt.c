// AES of mbedTLS 3.6, as far as its configuration in MicroPython has it (blocks and CBC), by aes.h. MicroPython's
// cryptolib and what else uses mbedTLS stay as they are; what asks for another mode does not link.

#include <string.h>

#include <mbedtls/aes.h>
#include <mbedtls/platform_util.h>

void mbedtls_aes_init(mbedtls_aes_context *context) {
    memset(context, 0, sizeof(*context));
}

void mbedtls_aes_free(mbedtls_aes_context *context) {
    if (context) {
        mbedtls_platform_zeroize(context, sizeof(*context));
    }
}

int mbedtls_aes_setkey_enc(mbedtls_aes_context *context, const unsigned char *key, unsigned int bits) {
    return bits % 8 || tessera_aes_encryption_key(context, key, bits / 8) ? MBEDTLS_ERR_AES_INVALID_KEY_LENGTH : 0;
}

int mbedtls_aes_setkey_dec(mbedtls_aes_context *context, const unsigned char *key, unsigned int bits) {
    return bits % 8 || tessera_aes_decryption_key(context, key, bits / 8) ? MBEDTLS_ERR_AES_INVALID_KEY_LENGTH : 0;
}

int mbedtls_aes_crypt_ecb(mbedtls_aes_context *context, int mode, const unsigned char in[16], unsigned char out[16]) {
    if (mode != MBEDTLS_AES_ENCRYPT && mode != MBEDTLS_AES_DECRYPT) {
        return MBEDTLS_ERR_AES_BAD_INPUT_DATA;
    }
    (mode == MBEDTLS_AES_ENCRYPT ? tessera_aes_encrypt : tessera_aes_decrypt)(context, in, out);
    return 0;
}

int mbedtls_aes_crypt_cbc(mbedtls_aes_context *context, int mode, size_t length, unsigned char iv[16],
    const unsigned char *in, unsigned char *out) {
    if (mode != MBEDTLS_AES_ENCRYPT && mode != MBEDTLS_AES_DECRYPT) {
        return MBEDTLS_ERR_AES_BAD_INPUT_DATA;
    }
    if (length % TESSERA_AES_BLOCK_BYTES) {
        return MBEDTLS_ERR_AES_INVALID_INPUT_LENGTH;
    }
    size_t blocks = length / TESSERA_AES_BLOCK_BYTES;
    (mode == MBEDTLS_AES_ENCRYPT ? tessera_aes_cbc_encrypt : tessera_aes_cbc_decrypt)(context, iv, in, out, blocks);
    return 0;
}
