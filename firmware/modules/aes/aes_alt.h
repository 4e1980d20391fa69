// mbedTLS asks for this file by MBEDTLS_AES_ALT: its AES is ours (aes_alt.c).

#ifndef TESSERA_AES_ALT_H
#define TESSERA_AES_ALT_H

#include "aes.h"

typedef tessera_aes_key mbedtls_aes_context;

#endif
