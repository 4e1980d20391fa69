# The board's LED, if pins.csv names one: lit while the relay serves.

from machine import Pin


def show(lit):
    """Switch the LED; nothing on a board without one."""
    try:
        Pin("LED", Pin.OUT, value=lit)
    except ValueError:
        pass
