"""`make emulate`: switches a board on and says where its console and its network are; Ctrl-C switches it off.

With --relay it puts a relay's directory on a blank board, waits until the relay serves, and shows its console. A board
with Wi-Fi has an access point in reach: the one that relay.json names, or one that is written into relay.json. What the
board does with the access point is printed as it happens.
"""

import argparse
import json
import signal
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from tools.emulator.board import Board
from tools.emulator.clock import Clock
from tools.emulator.program import Cut, EmulatorError
from tools.emulator.provision import CONFIGURATION, is_provisioned, provision, read, wait_until_serving
from tools.emulator.wifi import Happening, Radio

BOARDS = Path(__file__).resolve().parents[2] / "boards"
CHIP = "rp2040"
STOPPED = 130  # of a command that Ctrl-C ends
LOOK_SECONDS = 0.5  # of this computer, between two looks at what the radio did


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="emulate", description="Run an image on an emulated Raspberry Pi Pico.")
    parser.add_argument("image", type=Path, help="firmware.uf2")
    parser.add_argument("--flash", type=Path, required=True, help="file that keeps the board's flash")
    parser.add_argument("--relay", type=Path, help="relay directory (tessera relay new) to put on an empty board")
    parser.add_argument("--console-port", type=int, default=4500, help="TCP port of the USB console (4500)")
    parser.add_argument("--port", type=int, default=8100, help="TCP port of 127.0.0.1 that leads to the board (8100)")
    parser.add_argument("--guest-port", type=int, help="port of the board that it leads to (the same)")
    parser.add_argument("--no-network", action="store_true", help="leave the board's UART unconnected")
    parser.add_argument("--terminal", type=Path, help="symbolic link to the console's pseudo-terminal")
    parser.add_argument("--cut-at", type=int, help="cut the power in this flash operation")
    parser.add_argument("--cut-bytes", type=int, help="how many bytes of it take effect (half)")
    parser.add_argument("--cut-rest", choices=["old", "blank", "bits", "random"], help="what the other bytes hold")
    parser.add_argument("--clock", type=Path, help="file for a time of the board's own (clock.mjs)")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def run(arguments: argparse.Namespace) -> int:
    guest_port = None if arguments.no_network else arguments.guest_port or arguments.port
    cut = Cut(arguments.cut_at, arguments.cut_bytes, arguments.cut_rest) if arguments.cut_at else None
    radio = find_radio(arguments.image, arguments.relay)
    arguments.flash.parent.mkdir(parents=True, exist_ok=True)
    board = Board(
        arguments.image,
        arguments.flash,
        guest_port=guest_port,
        port=arguments.port,
        console_port=arguments.console_port,
        cut=cut,
        seed=arguments.seed,
        clock=Clock(arguments.clock) if arguments.clock else None,
        realtime=arguments.clock is None,
        radio=radio,
    )
    with board, ExitStack() as stack:
        terminal = board.terminal(arguments.terminal)
        stack.callback(terminal.close)
        print(f"image     {arguments.image}, flash in {arguments.flash}")
        print(f"console   {arguments.terminal or terminal.path}  (mpremote connect {terminal.path}; also TCP port")
        print(f"          {arguments.console_port}: mpremote connect socket://127.0.0.1:{arguments.console_port})")
        if guest_port:
            print(f"network   127.0.0.1:{board.address[1]} leads to port {guest_port} of the board")
        if radio:
            print(f"Wi-Fi     {radio.ssid} ({radio.security}) is in reach; password: {radio.password or 'none'}")
            threading.Thread(target=show_wifi, args=(board,), daemon=True).start()
        if arguments.relay:
            start_relay(board, arguments.relay, {"wifi": radio.name()} if radio else None)
        print("Ctrl-C switches the board off.", flush=True)
        status = board.wait()
    print(f"the board went off: status {status} (emulator.mjs lists them)")
    return status


def find_radio(image: Path, relay: Path | None) -> Radio | None:
    """The radio of the image's board, with the network around it that the relay's directory names; None if the board
    has none. EmulatorError if the board cannot be emulated."""
    described = image.with_name("image.json")
    if not described.exists():
        return None
    name = json.loads(described.read_text())["board"]
    board = json.loads((BOARDS / name / "board.json").read_text())
    if board["mcu"] != CHIP:
        raise EmulatorError(
            f"a {name} has an {board['mcu']}; only images for an {CHIP} can be emulated: use RPI_PICO or RPI_PICO_W"
        )
    if "WiFi" not in board["features"]:
        return None
    wifi = json.loads(read(relay / CONFIGURATION)).get("wifi") if relay else None
    return Radio.named(wifi) if wifi else Radio()


def show_wifi(board: Board) -> None:
    while True:
        try:
            for happening in board.wifi.happenings():
                if text := in_words(happening, board.wifi.status().hostname):
                    print(f"Wi-Fi     {text}", flush=True)
        except (EmulatorError, OSError, ValueError):  # the board is off
            return
        time.sleep(LOOK_SECONDS)


def in_words(happening: Happening, hostname: str | None) -> str | None:
    """In words what the board, whose name is hostname, did; None if that is not worth telling."""
    match happening.what, *happening.details:
        case "joined", ssid, security:
            return f"joined {ssid} ({security})"
        case "has the address", address:
            return f"has the address {address}" + (f" and the name {hostname}" if hostname else "")
        case "refused", ssid, _:
            return f"has a wrong password for {ssid}"
        case "none", ssid:
            return f"does not find the network {ssid}"
        case "left", ssid:
            return f"left {ssid}"
    return None


def start_relay(board: Board, directory: Path, settings: dict[str, dict[str, str]] | None) -> None:
    """Provision the board if it is blank, wait until the relay serves, and show its console from then on."""
    if not is_provisioned(board):
        print(f"provisioning the board with {directory}; its first start takes a while", flush=True)
        provision(board, directory, settings)
        print(wait_until_serving(board))
    print("serving", flush=True)
    threading.Thread(target=show_console, args=(board,), daemon=True).start()


def show_console(board: Board) -> None:
    while data := board.repl.read():
        print(data.decode(errors="replace").replace("\r\n", "\n"), end="", flush=True)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        return run(read_arguments())
    except KeyboardInterrupt:
        print()
        return STOPPED
    except (EmulatorError, OSError) as error:
        print(f"emulate: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
