# The cyw43 driver and its firmware are in no package: build with MICROPY_DIR=, a MicroPython with its submodules.
set(PICO_BOARD "pico_w")
set(PICO_PLATFORM "rp2040")
set(MICROPY_PY_LWIP ON)
set(MICROPY_PY_NETWORK_CYW43 ON)
set(MICROPY_FROZEN_MANIFEST ${MICROPY_BOARD_DIR}/manifest.py)

# The port's C stack is the 8 KiB of both scratch banks. The curve module takes up to 5.5 KiB of it, and the relay is some
# fifteen Python calls deep by then: 4 KiB more, from the heap's end just below. (The RP2350's linker script has a
# variable for this, and as much of it. These come after the script on the linker's command line, so they count.)
link_libraries("-Wl,--defsym=__GcHeapEnd=0x2003f000" "-Wl,--defsym=__StackBottom=0x2003f000")
