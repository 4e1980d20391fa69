# What every board freezes. The build copies boards/ and firmware/ side by side and adds tessera_build.py (board,
# digest, partitions). Names are sorted: a folder has its own order on every machine, and so would the image.

from os import listdir


def python_files(folder):
    return sorted(name for name in listdir(folder) if name.endswith(".py"))


include("$(MPY_DIR)/extmod/asyncio")

for name in ("_boot.py", "boot.py", "main.py", "slots.py", "tessera_build.py"):
    module(name, base_path="../firmware")
package("tessera", python_files("../firmware/tessera"), base_path="../firmware")

# Of the device's modules only the network that the board has (options.network: ppp, wlan or lan), and where new code
# goes on an ESP32 (options.slots: ota).
options.defaults(slots=None)
files = (
    "__init__",
    "appliance",
    "commands",
    "console",
    "factoryreset",
    "flash",
    "led",
    "log",
    "provision",
    "service",
    "sntp",
    "update",
)
chosen = [name for name in (options.network, options.slots) if name]
package("device", sorted(name + ".py" for name in (*files, *chosen)), base_path="../firmware")
