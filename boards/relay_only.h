// What a relay has no use for, left out of every RP2 board: TLS (the channel is the relay's own), remote prompts, and
// USB devices made in Python. What cannot be called cannot be attacked, and 130 KB of flash stay free.
#define MICROPY_PY_SSL                          (0)
#define MICROPY_PY_WEBSOCKET                    (0)
#define MICROPY_PY_WEBREPL                      (0)
#define MICROPY_HW_ENABLE_USB_RUNTIME_DEVICE    (0)
