include("../manifest.py", network="lan", slots="ota")
module("board.py")
