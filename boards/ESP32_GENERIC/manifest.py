include("../manifest.py", network="wlan")
module("board.py")
