# What is frozen into the unix binary that `make run` serves with: the core, its entry script and their digest, so that
# a 192 KB heap holds data only. tools/build/setup.sh builds from a copy of this folder that has tessera_build.py, too.

from os import listdir
from platform import machine

include("$(MPY_DIR)/extmod/asyncio")

native = machine() == "x86_64"  # tools/build/micropython.sh names the architecture of native code for this one only
core = sorted(name for name in listdir("tessera") if name.endswith(".py") and (native or name != "viper.py"))
package("tessera", core)
module("relay_unix.py")
module("tessera_build.py")
