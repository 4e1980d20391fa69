# The cyw43 driver and its firmware are in no package: build with MICROPY_DIR=, a MicroPython with its submodules.
set(PICO_BOARD "pico2_w")
set(PICO_PLATFORM "rp2350")
set(MICROPY_PY_LWIP ON)
set(MICROPY_PY_NETWORK_CYW43 ON)
set(MICROPY_FROZEN_MANIFEST ${MICROPY_BOARD_DIR}/manifest.py)
include(${MICROPY_BOARD_DIR}/../rp2.cmake)
include(${MICROPY_BOARD_DIR}/../cyw43.cmake)
