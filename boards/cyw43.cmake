# What mpconfigboard.cmake of RP2 boards with a radio includes.

# The driver's header for its bus lies in a folder of the SDK that MicroPython 1.25 hands on with Bluetooth only.
include_directories(SYSTEM ${PICO_SDK_PATH}/src/rp2_common/pico_cyw43_driver/include)
