"""What the curve costs on the emulated RP2040, function by function: exact cycles, stack, flash that code ran from.

Usage: python -m tools.bench.curve [IMAGE] [--keys N]    the image is build/RPI_PICO/firmware.uf2 unless given

Calls the image's own library and field without MicroPython around them. Owns these measurements; what the relay makes
of them is device.py's. Of what computes with secrets, the width of the distribution over N random ones is shown:
the cycles that the slowest took beyond the fastest.
"""

import argparse
import random
import statistics
from pathlib import Path

import coincurve
from rich.console import Console
from rich.table import Table

from tools.bench import ROOT
from tools.emulator.calls import SCRATCH, Answer, Call, call, curve_functions
from tools.emulator.curve import Library

IMAGE = ROOT / "build" / "RPI_PICO" / "firmware.uf2"
RATED_MHZ, FASTEST_MHZ = 125, 200  # 200 MHz is computed, not run
HOT = ("tessera_m0_fe_", "secp256k1_gej_double", "tessera_gej_add_affine")

Rows = dict[str, list[Answer]]


def field_rows(image: Path) -> Rows:
    """The primitives, the call by register included in none."""
    functions = [name for name in curve_functions(image) if name.startswith("tessera_m0_")]
    dice = random.Random(1)
    memory = tuple((SCRATCH + offset, dice.randbytes(32)) for offset in (0, 64, 128))
    calls = [Call(name, (SCRATCH, SCRATCH + 64, SCRATCH + 128), memory) for name in functions]
    return {name: [answer] for name, answer in zip(functions, call(image, calls), strict=True)}


def curve_rows(image: Path, keys: int) -> Rows:
    library, dice = Library(image), random.Random(2)
    secrets = [coincurve.PrivateKey(dice.randbytes(32)) for _ in range(keys)]
    message, aux = dice.randbytes(32), dice.randbytes(32)
    point = secrets[0].public_key.format()
    calls: list[Call] = [library.make_context(), library.parse(point)]
    for secret in secrets:
        calls += [library.dh(secret.secret).traced()]
    _, parse, *dh = call(image, calls)
    calls = [library.make_context()]
    for secret in secrets:
        calls += [library.public(secret.secret), library.key_pair(secret.secret), library.sign(message, aux).traced()]
    _, *made = call(image, calls)
    calls = []
    for secret in secrets:
        signature, key = secret.sign_schnorr(message, aux), secret.public_key.format()[1:]
        calls += [library.parse_x(key), library.verify(signature, message).traced()]
    verified = call(image, calls)
    return {
        "parse a point": [parse],
        "DH, point parsed": dh,
        "public key": made[::3],
        "key pair": made[1::3],
        "sign, with the key pair": made[2::3],
        "parse a key (x)": verified[::2],
        "verify, key parsed": verified[1::2],
        "parse and verify": [add(*pair) for pair in zip(verified[::2], verified[1::2], strict=True)],
    }


def add(first: Answer, second: Answer) -> Answer:
    """One after the other."""
    cycles, stack = first.cycles + second.cycles, max(first.stack, second.stack)
    return Answer(second.result, cycles, stack, (), (), first.code_bytes + second.code_bytes)


def show(title: str, rows: Rows) -> None:
    columns = ("", "median", "width", f"{RATED_MHZ} MHz", f"{FASTEST_MHZ} MHz, computed", "stack", "flash run from")
    table = Table(*columns, title=title)
    for name, answers in rows.items():
        cycles = [answer.cycles for answer in answers]
        middle = statistics.median(cycles)
        times = [f"{middle / (1000 * mhz):.2f} ms" for mhz in (RATED_MHZ, FASTEST_MHZ)]
        stack, code = (str(max(values)) for values in ([a.stack for a in answers], [a.code_bytes for a in answers]))
        table.add_row(
            name, f"{middle:,.0f}", f"{max(cycles) - min(cycles):,}", *times, stack, code if code != "0" else ""
        )
    Console(width=120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the curve on the emulated RP2040.")
    parser.add_argument("image", nargs="?", type=Path, default=IMAGE)
    parser.add_argument("--keys", type=int, default=20)
    arguments = parser.parse_args()
    show("The field", field_rows(arguments.image))
    show(f"The library over it, {arguments.keys} keys", curve_rows(arguments.image, arguments.keys))
    functions = curve_functions(arguments.image)
    hot = sum(each["bytes"] for name, each in functions.items() if name.startswith(HOT))
    print(f"code of the curve in RAM: {hot:,} bytes")


if __name__ == "__main__":
    main()
