# The cyw43 driver and its firmware are in no package: build with MICROPY_DIR=, a MicroPython with its submodules.
set(PICO_BOARD "pico_w")
set(PICO_PLATFORM "rp2040")
set(MICROPY_SOURCE_BOARD ${MICROPY_BOARD_DIR}/../clock200.c) # 200 MHz; relay.json may ask for less (board.py)
# The radio's line at a sixth of that, 33 MHz, about as fast as at 125: the radio is rated for 50, and the divider of the
# driver would give just that. (It is the same at 125 MHz, where the line then has 21.)
add_compile_definitions(CYW43_PIO_CLOCK_DIV_INT=3)
set(MICROPY_PY_LWIP ON)
set(MICROPY_PY_NETWORK_CYW43 ON)
set(MICROPY_FROZEN_MANIFEST ${MICROPY_BOARD_DIR}/manifest.py)
set(TESSERA_VERIFY_WINDOW 9) # tables of 16 KB for verification (firmware/modules/secp256k1)
include(${MICROPY_BOARD_DIR}/../rp2.cmake)
include(${MICROPY_BOARD_DIR}/../cyw43.cmake)
