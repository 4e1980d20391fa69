#!/bin/bash
# Builds main.c with the modules beside this folder, for a Cortex-M0+ (an RP2040, for its interpolators): build.sh OUTPUT
set -euo pipefail
: "${SECP256K1:?set SECP256K1 to the source tree of libsecp256k1}"
output=$(realpath "$1")
modules=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
python3 "$modules/aes/aes_rp2040.py" aes_rp2040.s
python3 "$modules/sha256/sha256_m0.py" sha256_m0.s
python3 "$modules/secp256k1/field_m0.py" field_m0.s
python3 "$modules/secp256k1/generator_table.py" >generator_table.h
arm-none-eabi-gcc -mcpu=cortex-m0plus -mthumb -O2 -fomit-frame-pointer -ffunction-sections -fdata-sections \
    -DTESSERA_AES_RP2040 -DTESSERA_FIELD_M0 -DUSE_FORCE_WIDEMUL_INT64 \
    -I. -I"$modules/aes" -I"$modules/sha256" -I"$modules/secp256k1" \
    -I"$SECP256K1" -I"$SECP256K1/include" -I"$SECP256K1/src" \
    "$modules/example/main.c" "$modules/aes/aes.c" "$modules/sha256/sha256.c" "$modules/secp256k1/library.c" \
    aes_rp2040.s sha256_m0.s field_m0.s \
    -nostartfiles --specs=nosys.specs --specs=nano.specs -Wl,--gc-sections,--entry=main,-Ttext=0x20000000 \
    -o "$output"
