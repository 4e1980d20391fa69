set(PICO_BOARD "pico")
set(PICO_PLATFORM "rp2040")
# 200 MHz with 1.15 V, for which Raspberry Pi rates the RP2040 (Pico SDK 2.1.1): the SDK raises the voltage before the
# clock. The flash gets half of that, PICO_FLASH_SPI_CLKDIV of the board, and is rated for 133 MHz. relay.json may ask for
# less (board.py).
set(PICO_USE_FASTEST_SUPPORTED_CLOCK 1)
set(MICROPY_PY_LWIP ON)
set(MICROPY_FROZEN_MANIFEST ${MICROPY_BOARD_DIR}/manifest.py)
set(TESSERA_VERIFY_WINDOW 10) # tables of 32 KB for verification (firmware/modules/secp256k1)
include(${MICROPY_BOARD_DIR}/../rp2.cmake)
