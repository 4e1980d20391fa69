# What is frozen into the unix binary that `make run` serves with: the core, its entry script and their digest, so that
# a 192 KB heap holds data only. tools/setup.sh builds from a copy of this folder and puts tessera_build.py beside it.

include("$(MPY_DIR)/extmod/asyncio")

package("tessera")
module("relay_unix.py")
module("tessera_build.py")
