// How far MicroPython's heap may grow on a chip of Espressif. The port adds an area to the heap when an allocation fails
// otherwise: as much again as there is, or the largest block that ESP-IDF has left. From the same memory lwIP and the
// driver of the radio take what connections need while they serve, and a radio that gets none drops frames. So the heap
// leaves them their share, and gc.mem_free(), which counts what the heap may still take, says what a relay can plan with
// (firmware/device/chip_esp32.py).

#include <stddef.h>

#include "esp_heap_caps.h"

// Of four sessions, each with its send buffer full (CONFIG_LWIP_TCP_SND_BUF_DEFAULT, 4,320 bytes) and its frames once
// more in the radio's buffers; the rest is for what comes in. boards/sdkconfig.relay bounds all of that.
#define NETWORK_BYTES (40 * 1024)

size_t __real_gc_get_max_new_split(void);
size_t __wrap_gc_get_max_new_split(void);

// The port's answer, the largest free block, as far as it leaves the network's share. (The linker puts this in place of
// the port's: micropython.cmake. With external RAM there are megabytes, and it is the port's answer.)
size_t __wrap_gc_get_max_new_split(void) {
    size_t largest = __real_gc_get_max_new_split();
    size_t all = heap_caps_get_free_size(MALLOC_CAP_DEFAULT);
    size_t spare = all > NETWORK_BYTES ? all - NETWORK_BYTES : 0;
    return largest < spare ? largest : spare;
}
