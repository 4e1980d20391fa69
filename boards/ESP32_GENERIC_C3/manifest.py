include("../manifest.py", network="wlan", port="wlan_esp32", slots="ota")
module("board.py")
