#define MICROPY_HW_BOARD_NAME                   "Tessera Relay, Olimex ESP32-POE"
#define MICROPY_HW_MCU_NAME                     "ESP32"
#define MICROPY_PY_NETWORK_HOSTNAME_DEFAULT     "tessera-relay"

// What a relay has no use for; boards/relay_only.h says why. (TLS cannot be left out of this port.)
#define MICROPY_PY_BLUETOOTH                    (0)
#define MICROPY_PY_ESPNOW                       (0)
