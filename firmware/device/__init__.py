# The relay on a board: what the core must not know of (flash regions, network, clock, LED, serial line). What differs
# from board to board is in boards/<BOARD>: board.py (pins, network) and partitions.csv.
