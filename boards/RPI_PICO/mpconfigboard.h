#define MICROPY_HW_BOARD_NAME                   "Tessera Relay, Raspberry Pi Pico"

// From the bundles to the end of the flash: partitions.csv, which tools/build/boards.py compares.
#define MICROPY_HW_FLASH_STORAGE_BYTES          (1216 * 1024)

#define MICROPY_PY_NETWORK                      (1)
#define MICROPY_PY_NETWORK_HOSTNAME_DEFAULT     "tessera-relay"
#define MICROPY_PY_NETWORK_PPP_LWIP             (1)

#include "../clock200.h"
#include "../relay_only.h"
#include "../lwip_sizes.h"
