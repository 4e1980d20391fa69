include("../manifest.py", network="lan")
module("board.py")
