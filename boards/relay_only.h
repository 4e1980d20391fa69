// What a relay has no use for, left out of every RP2 board: TLS (the channel is the relay's own), remote prompts, and
// USB devices made in Python. What cannot be called cannot be attacked, and 130 KB of flash stay free.
#define MICROPY_PY_SSL                          (0)
#define MICROPY_PY_WEBSOCKET                    (0)
#define MICROPY_PY_WEBREPL                      (0)
#define MICROPY_HW_ENABLE_USB_RUNTIME_DEVICE    (0)

// Bundles are ROMFS images that run in place (firmware/slots.py). MicroPython's own ROMFS, which it would mount before
// anything of ours runs, stays empty: without rom_ioctl it is not looked for, and its size only has to be more than 0.
#define MICROPY_HW_ROMFS_BYTES                  (4096)
#define MICROPY_VFS_ROM_IOCTL                   (0)
