# What every board freezes. The build copies boards/ and firmware/ side by side and adds tessera_build.py (board,
# digest, partitions). Names are sorted: a folder has its own order on every machine, and so would the image.

from os import listdir


def python_files(folder):
    return sorted(name for name in listdir(folder) if name.endswith(".py"))


include("$(MPY_DIR)/extmod/asyncio")

for name in ("_boot.py", "boot.py", "main.py", "slots.py", "tessera_build.py"):
    module(name, base_path="../firmware")

# The core, but for what only computers have.
computers = ("curve_coincurve.py", "filedevice.py", "ownership.py", "runtime_cpython.py")
core = [name for name in python_files("../firmware/tessera") if name not in computers]
package("tessera", core, base_path="../firmware")

# Of the device's modules only the network that the board has (options.network: ppp, wlan or lan; options.port: what
# is different on its port), and where new code goes on an ESP32 (options.slots: ota).
options.defaults(port=None, slots=None)
files = (
    "__init__",
    "appliance",
    "button",
    "commands",
    "console",
    "explain",
    "factoryreset",
    "faultpage",
    "flash",
    "led",
    "link",
    "log",
    "provision",
    "service",
    "sntp",
    "starts",
    "update",
    "watchdog",
)
chosen = [name for name in (options.network, options.port, options.slots) if name]
package("device", sorted(name + ".py" for name in (*files, *chosen)), base_path="../firmware")
