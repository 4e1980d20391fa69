include("../manifest.py", network="wlan", slots="ota")
module("board.py")
