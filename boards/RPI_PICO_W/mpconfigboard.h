#define MICROPY_HW_BOARD_NAME                   "Tessera Relay, Raspberry Pi Pico W"

// From the bundles to the end of the flash: partitions.csv, which tools/build/boards.py compares.
#define MICROPY_HW_FLASH_STORAGE_BYTES          (1216 * 1024)

#define MICROPY_PY_NETWORK                      (1)
#define MICROPY_PY_NETWORK_HOSTNAME_DEFAULT     "tessera-relay"

// The radio's driver, as MicroPython's own board has it; Bluetooth is left out.
#define CYW43_USE_SPI                           (1)
#define CYW43_LWIP                              (1)
#define CYW43_GPIO                              (1)
#define CYW43_SPI_PIO                           (1)
#define MICROPY_HW_PIN_EXT_COUNT                CYW43_WL_GPIO_COUNT
int mp_hal_is_pin_reserved(int n);
#define MICROPY_HW_PIN_RESERVED(i)              mp_hal_is_pin_reserved(i)

#include "../clock200.h"
#include "../relay_only.h"
#include "../lwip_sizes.h"
