# Rates of the relay core without sockets and delays, on whatever runtime runs this file; prints one JSON object.
# tools/bench/runtimes.py runs it on CPython and MicroPython. Arguments: the folders firmware and tests/core.

import json
import sys

sys.path[:0] = sys.argv[1:3]

import os  # noqa: E402

import office  # noqa: E402
from check import unhex, vectors  # noqa: E402
from tessera import curve, curve_plain, wire  # noqa: E402
from tessera.admission import read_proof  # noqa: E402
from tessera.announcement import runtime_name  # noqa: E402
from tessera.batch import CellFrame  # noqa: E402
from tessera.runtime import MICROPYTHON  # noqa: E402

if MICROPYTHON:
    from time import ticks_diff, ticks_us
else:
    from time import perf_counter_ns

    def ticks_us():
        return perf_counter_ns() // 1000

    def ticks_diff(later, earlier):
        return later - earlier


def milliseconds(function, repeat):
    """The mean time of a call, in ms; the first call, which may fill caches, does not count."""
    function()
    start = ticks_us()
    for _ in range(repeat):
        function()
    return ticks_diff(ticks_us(), start) / repeat / 1000


def verification(tier):
    row = vectors("bip340")[1]
    arguments = [unhex(row[name]) for name in ("signature", "message", "public_key")]
    return milliseconds(lambda: tier.verify(*arguments), 50)


def agreement(tier):
    secret, point = b"\x05" * 32, curve.public(b"\x06" * 32)
    return milliseconds(lambda: tier.dh(secret, point), 50)


def relay_work(figures):
    table = unhex("".join(vectors("noise_table")[2]["thresholds"]))
    place = office.Office(thresholds=table)
    numbers = iter(range(1000))
    figures["handshake_ms"] = milliseconds(lambda: greet(place), 20)
    figures["handshake_and_auth_ms"] = milliseconds(lambda: admit(place, next(numbers)), 20)
    figures["resumed_handshake_ms"] = resumed(place)
    figures["post_ms"] = post(place)
    place.sleep()
    figures["fetch_kb_per_s"] = fetch(place)


def greet(place):
    """Both ends of a full handshake; the client's is about half of it."""
    return office.Connection(place.relay)


def admit(place, number):
    office.Connection(place.relay).authenticate(office.Token(number, 0))


def resumed(place):
    """Both ends of a resumption."""
    state = [place.member(250).secret]

    def resume():
        state[0] = office.Connection(place.relay, resumption=state[0]).secret

    return milliseconds(resume, 50)


def post(place):
    """The relay's part of a POST, lease pages included."""
    member = place.member(251)
    frames = [wire.post(0, os.urandom(240)) for _ in range(16)]
    out = bytearray(wire.CLIENT_FRAME_BYTES)
    start = ticks_us()
    for frame in frames:
        place.relay.answer(member.session, frame, out)
    return ticks_diff(ticks_us(), start) / len(frames) / 1000


def fetch(place):
    """The relay's part of a FETCH of one cell, from the request decoded to sealed frames; kB of records a second."""
    member = place.member(252)
    cells = CellFrame()
    counts = []
    proof = read_proof(office.READING_KEY, member.channel.handshake_hash)

    def serve():
        delivery = place.relay.fetch(member.session, wire.fetch(0, 0, 1, proof))
        frames = 0
        while delivery.next_frame(cells):
            member.session.channel.seal_in_place(cells.buffer)
            frames += 1
        counts.append(frames)

    per_cell = milliseconds(serve, 10)
    return round(counts[-1] * wire.RECORDS_PER_FRAME * wire.RECORD_BYTES / per_cell)


def main():
    figures = {"runtime": runtime_name(), "curve_tier": curve.TIER}
    figures["verification_ms"] = verification(curve)
    figures["dh_ms"] = agreement(curve)
    if curve.TIER != curve_plain.TIER:
        figures["verification_plain_ms"] = verification(curve_plain)
        figures["dh_plain_ms"] = agreement(curve_plain)
    relay_work(figures)
    print(json.dumps(figures))


main()
