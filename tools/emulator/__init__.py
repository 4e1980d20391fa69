"""The emulated board for host programs: start it, type at its prompt, reach its network, cut its power.

Start with board.py. The board itself is JavaScript: emulator.mjs and what it imports.
"""
