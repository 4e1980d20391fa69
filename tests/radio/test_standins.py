"""What stands for MicroPython's module `network` on a Pico W in the core's tests (tests/core/network_rp2.py) does as
the real module does on the real image: the same programs say the same of both."""

import contextlib
import io
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest

import network_rp2
from air import Air
from tools.emulator.execution import DONE, execute
from tools.emulator.wifi import LINK_DOWN, Radio

ACTS_MS = 20_000  # since the start of the program: when what is around the radio changes, if it does
BOOT_SECONDS = 8  # more than a board takes to its prompt

# A program says which states it saw, in their order; whole seconds, as the stand-in has no time of its own.
BEGIN = """
import network, time
from machine import Pin
nic = network.WLAN(network.WLAN.IF_STA)
begun = time.ticks_ms()

def watch(milliseconds):
    start, seen = time.ticks_ms(), []
    while time.ticks_diff(time.ticks_ms(), start) < milliseconds:
        if seen[-1:] != [nic.status()]:
            seen.append(nic.status())
        time.sleep_ms(10)
    print(seen, nic.isconnected(), nic.ifconfig()[0] != "0.0.0.0")

def until(milliseconds):
    time.sleep_ms(milliseconds - time.ticks_diff(time.ticks_ms(), begun))

def says(call):
    start = time.ticks_ms()
    try:
        found = call()
    except OSError as error:
        found = "OSError {}".format(error.args[0])
    print(found, "after", (time.ticks_diff(time.ticks_ms(), start) + 500) // 1000, "s")

def join(ssid="Office", password="correct horse battery"):
    nic.connect(ssid, password)
"""

STORIES = {
    "it is joined, left, and joined again": """
        nic.active(True)
        says(lambda: any(nic.config("mac")))
        join()
        watch(3000)
        nic.disconnect()
        watch(500)
        join()
        watch(3000)
        nic.active(False)
        watch(500)
        """,
    "a join that waits for DHCP": """
        nic.active(True)
        join()
        watch(3000)
        watch(20000)
        """,
    "a wrong password": """
        nic.active(True)
        join(password="something else")
        watch(9000)
        nic.disconnect()
        watch(500)
        join()
        watch(3000)
        """,
    "no such network": """
        nic.active(True)
        join("Guests")
        watch(3000)
        join()
        watch(3000)
        """,
    "nobody switched it on": """
        says(join)
        watch(100)
        """,
    "the chip is dead": """
        says(lambda: nic.active(True))
        says(lambda: any(nic.config("mac")))
        says(join)
        watch(100)
        """,
    "it is joined before the end of what was there": """
        nic.active(True)
        join()
        watch(3000)
        nic.disconnect()
        join()
        watch(6000)
        """,
    "the access point is not heard any more": """
        nic.active(True)
        join()
        watch(3000)
        until(21000)
        watch(3000)
        """,
    "the radio hangs": """
        led = Pin("LED", Pin.OUT, value=0)
        nic.active(True)
        join()
        watch(3000)
        until(21000)
        says(lambda: led.value(1))
        says(lambda: led.value(1))
        says(lambda: led.value(0))
        says(lambda: any(nic.config("mac")))
        says(nic.status)
        says(nic.disconnect)
        says(join)
        """,
}
SURROUNDINGS = {
    "a join that waits for DHCP": {"dhcp_seconds": 5.0},
    "the chip is dead": {"dead": True},
    "it is joined before the end of what was there": {"leave_seconds": 1.0},
}
CHANGES = {
    "the access point is not heard any more": {"in_reach": False, "parting": LINK_DOWN},
    "the radio hangs": {"hung": True},
}


@pytest.mark.parametrize("story", STORIES)
def test_the_stand_in_for_network_says_what_the_real_module_says(story: str, radio_image: Path, tmp_path: Path) -> None:
    source = BEGIN + textwrap.dedent(STORIES[story])
    assert on_the_image(story, source, radio_image, tmp_path) == on_the_stand_in(story, source)


def on_the_image(story: str, source: str, image: Path, folder: Path) -> list[str]:
    radio = Radio(**SURROUNDINGS.get(story, {}))
    if story in CHANGES:
        radio = radio.after(BOOT_SECONDS + ACTS_MS / 2000, **CHANGES[story])
    (folder / "story.py").write_text(source)
    done = execute(image, folder / "flash.bin", folder / "story.py", guest_seconds=120, radio=radio)
    assert done.status == DONE, done.output + done.errors
    return [line for line in done.output.splitlines() if not line.startswith("[CYW43]")]  # the driver's own words


def on_the_stand_in(story: str, source: str) -> list[str]:
    around = SURROUNDINGS.get(story, {})
    air = Air("Office", "correct horse battery", dhcp_ms=1000 * around.get("dhcp_seconds", 0.02))
    air.leave_ms = 1000 * around.get("leave_seconds", 0.01)
    network = network_rp2.Network(air)
    network.radio.dead = around.get("dead", False)
    if story in CHANGES:
        air.later(ACTS_MS // 2, network.radio.link_down if "in_reach" in CHANGES[story] else network.radio.hang)
    time = SimpleNamespace(ticks_ms=lambda: air.now, ticks_diff=lambda later, earlier: later - earlier)
    time.sleep_ms = air.after
    modules = {"network": network, "time": time, "machine": SimpleNamespace(Pin=network_rp2.pins(network.radio))}
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(source, {"__builtins__": {**vars(__import__("builtins")), "__import__": lambda name, *_: modules[name]}})
    return said.getvalue().splitlines()
