#define MICROPY_HW_BOARD_NAME                   "Tessera Relay, ESP32-C3 module"
#define MICROPY_HW_MCU_NAME                     "ESP32C3"
#define MICROPY_PY_NETWORK_HOSTNAME_DEFAULT     "tessera-relay"

// What a relay has no use for; boards/relay_only.h says why. (TLS cannot be left out of this port.)
#define MICROPY_PY_BLUETOOTH                    (0)
#define MICROPY_PY_ESPNOW                       (0)

// The serial line is a UART on modules with a USB-UART bridge, besides native USB.
#define MICROPY_HW_ENABLE_UART_REPL             (1)
