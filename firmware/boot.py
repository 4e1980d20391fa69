# Before main.py: what is frozen comes before files of the same name, so that a file on flash cannot stand in for a part
# of the core whose digest the relay signs.

import sys

sys.path.remove(".frozen")
sys.path.insert(0, ".frozen")
