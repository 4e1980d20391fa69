include("../manifest.py", network="wlan")
module("board.py")
module("rp2.py", base_path="$(PORT_DIR)/modules")  # for a person at the prompt
