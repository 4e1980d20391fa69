"""The radio's model, held against a driver of its own (radio_driver.py): bus, memory, frames and credits, commands,
joining, the network behind the access point, and every fault that can be had from it."""

import socket
import struct
from collections.abc import Iterator

import pytest

from tests.emulated.radio_driver import (
    ARM,
    AUTH,
    BACKPLANE,
    BLOCK,
    BOOT_SECONDS,
    BUS,
    CLOCKS,
    DEAUTH_IND,
    DISASSOC,
    DISASSOC_EVENT,
    F2_READY,
    FIRMWARE,
    GET_BSSID,
    GET_RSSI,
    GET_SSID,
    GET_VAR,
    LINK,
    MEMORY,
    PACKET_AVAILABLE,
    PSK_SUP,
    RAM_BYTES,
    RESET,
    SAE,
    SET_SSID_EVENT,
    SLEEP,
    UP,
    WLAN,
    WPA2_PSK,
    Desk,
    Driver,
    Event,
    Frame,
)
from tests.emulated.radio_packets import ARP_TYPE, IPV4, checksum, ethernet, framed, udp
from tools.emulator.wifi import DEAUTHENTICATED, DISASSOCIATED, LINK_DOWN, SECURITIES, SILENCE, Radio

ROUTER, BOARD = socket.inet_aton("10.77.0.1"), socket.inet_aton("10.77.0.2")
BROADCAST = b"\xff" * 6
DISCOVER, OFFER, REQUEST, ACK, NAK = 1, 2, 3, 5, 6
MASK, GATEWAY, DNS, HOST_NAME, WANTED, LEASE, KIND, SERVER = 1, 3, 6, 12, 50, 51, 53, 54
UNSUPPORTED, NOT_ASSOCIATED = -23, -17
JOINED = [Event(AUTH), Event(LINK, flags=1), Event(SET_SSID_EVENT)]
KEYED = Event(PSK_SUP, 6)


@pytest.fixture(scope="module")
def bench() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.close()


@pytest.fixture
def desk(bench: Desk) -> Desk:
    """With a radio as it is by itself."""
    bench.lay(Radio())
    return bench


@pytest.fixture
def driver(desk: Desk) -> Driver:
    return Driver(desk)


def running(desk: Desk, radio: Radio) -> Driver:
    """A driver whose firmware is up, with this around it."""
    desk.lay(radio)
    driver = Driver(desk)
    driver.begin()
    return driver


# -- the bus


def test_words_come_in_swapped_halves_until_their_length_is_set(desk: Desk, driver: Driver) -> None:
    """The command that reads 4 bytes at 0x14 of function 0 is 0x4000A004; there stands 0xFEEDBEAD (data sheet)."""
    desk.power(True)
    assert desk.transfer(bytes.fromhex("a0044000"), 4) == bytes.fromhex("beadfeed")
    driver.configure()
    assert desk.transfer(bytes.fromhex("04a00040"), 4) == bytes.fromhex("adbeedfe")


def test_registers_keep_what_is_written_and_the_test_pattern_does_not(driver: Driver) -> None:
    driver.configure()
    for address in (0x14, 0x18):
        driver.write(BUS, address, b"\x12\x34\x56\x78")
    assert driver.read(BUS, 0x18, 4) == b"\x12\x34\x56\x78"
    assert driver.read(BUS, 0x14, 4) == b"\xad\xbe\xed\xfe"
    assert driver.read(BUS, 0x1A, 1) == b"\x56"


def test_what_is_read_of_function_1_comes_after_the_delay(desk: Desk, driver: Driver) -> None:
    """4 bytes at first, then as many as register 0x1D says."""
    driver.configure()
    driver.write(BACKPLANE, SLEEP, b"\x01")
    command = driver.command(False, BACKPLANE, SLEEP, 1)
    assert desk.transfer(command, 20) == bytes(16) + b"\x03\0\0\0"
    driver.write(BUS, 0x1D, b"\x04")
    assert desk.transfer(command, 8) == bytes(4) + b"\x03\0\0\0"


def test_chip_without_power_leaves_the_wire_low_and_forgets(desk: Desk, driver: Driver) -> None:
    assert desk.transfer(bytes.fromhex("a0044000"), 4) == bytes(4)
    driver.configure()
    driver.write(BUS, 0x18, b"kept")
    desk.power(False)
    assert (desk.transfer(bytes.fromhex("04a00040"), 4), desk.line) == (bytes(4), False)
    driver.configure()
    assert driver.read(BUS, 0x18, 4) == bytes(4)


def test_reading_a_frame_that_is_not_there_is_an_error_that_is_cleared_by_writing_ones(driver: Driver) -> None:
    """DATA_UNAVAILABLE and F2_F3_FIFO_RD_UNDERFLOW: bits 0 and 1 of the interrupt register (data sheet)."""
    driver.begin()
    driver.drain()
    driver.write(BUS, 0x04, b"\xff\xff")
    assert driver.read(WLAN, 0, 4) == bytes(4)
    assert driver.number(BUS, 0x04, 2) == 0b11
    driver.write(BUS, 0x04, b"\x01\0")
    assert driver.number(BUS, 0x04, 2) == 0b10


# -- memory and cores


@pytest.mark.parametrize("address", [0, 0x7FFC, 0x8000, 0x12340, RAM_BYTES - 64])
def test_window_leads_to_any_place_of_the_memory(driver: Driver, address: int) -> None:
    driver.configure()
    block = bytes(range(address & 1, 60))
    driver.poke(address, block[: 0x8000 - (address & 0x7FFF)])
    driver.at(0x18000000)
    size = min(len(block), 0x8000 - (address & 0x7FFF))
    assert driver.peek(address, size) == block[:size]
    other = (address + 0x8000) % RAM_BYTES
    assert driver.peek(other, size) == bytes(size)


def test_more_than_64_bytes_overflow_function_1(driver: Driver) -> None:
    """Function 1 takes 64 bytes at most (data sheet); F1_OVERFLOW is bit 7."""
    driver.configure()
    driver.write(BACKPLANE, driver.at(0), bytes([1]) * BLOCK)
    assert driver.number(BUS, 0x04, 2) & 0x80 == 0
    driver.write(BACKPLANE, driver.at(0), bytes([2]) * (BLOCK + 4))
    assert driver.number(BUS, 0x04, 2) & 0x80
    assert driver.peek(0, BLOCK) == bytes([1]) * BLOCK


def test_chip_says_which_one_it_is(driver: Driver) -> None:
    driver.configure()
    assert int.from_bytes(driver.peek(0x18000000, 2), "little") == 43439


def test_slow_clock_comes_when_asked_for_and_the_fast_one_with_the_firmware(driver: Driver) -> None:
    """SBSDIO_ALP_AVAIL_REQ 8, ALP_AVAIL 0x40, HT_AVAIL 0x80."""
    driver.configure()
    assert driver.number(BACKPLANE, CLOCKS, 1) == 0
    driver.write(BACKPLANE, CLOCKS, b"\x08")
    assert driver.number(BACKPLANE, CLOCKS, 1) == 0x48
    driver.load(FIRMWARE)
    driver.poke(ARM + RESET, bytes(4))
    driver.desk.wait(BOOT_SECONDS / 2)
    assert (driver.number(BACKPLANE, CLOCKS, 1), driver.status) == (0x48, 0)
    driver.desk.wait(BOOT_SECONDS / 2)
    assert (driver.number(BACKPLANE, CLOCKS, 1), driver.status) == (0xC8, F2_READY)


@pytest.mark.parametrize("missing", ["nothing", "firmware", "nvram", "complement", "memory's clock"])
def test_firmware_runs_only_with_all_that_it_needs(driver: Driver, missing: str) -> None:
    """The word at the end of the memory has the NVRAM's length in words, and its complement above."""
    driver.configure()
    driver.load(FIRMWARE[:4] if missing == "firmware" else FIRMWARE, bytes(0) if missing == "nvram" else b"a=1\0")
    if missing == "complement":
        driver.poke(RAM_BYTES - 4, b"\x01\0\xff\xff")
    if missing == "memory's clock":
        driver.poke(MEMORY + RESET, b"\x01\0\0\0")
    driver.start()
    assert driver.status == (F2_READY if missing == "nothing" else 0)


def test_status_names_the_version_that_was_loaded(desk: Desk, driver: Driver) -> None:
    assert desk.status()["firmware"] is None
    driver.begin()
    assert desk.status()["firmware"] == "1.2.3"
    desk.power(False)
    assert (desk.status()["firmware"], desk.status()["powered_on"]) == (None, 1)


# -- frames and credits


def begun(driver: Driver) -> Driver:
    """Until the firmware runs; nothing was said yet."""
    driver.configure()
    driver.load(FIRMWARE)
    driver.start()
    return driver


def test_one_frame_goes_out_before_there_is_a_credit_and_ten_after(desk: Desk, driver: Driver) -> None:
    """A credit is the sequence number that may not be reached. The second frame (1) waits for the first credit."""
    begun(driver)
    driver.request(UP, set=True)
    driver.request(UP, set=True)
    desk.wait(1)
    driver.drain()
    assert [(frame.sequence, frame.credit) for frame in driver.frames] == [(0, 11)]
    assert desk.status()["stalled"] == 1
    driver.sequence = 1
    for _ in range(11):
        driver.request(UP, set=True)
    assert desk.status()["stalled"] == 2
    desk.wait(1)
    driver.drain()
    assert desk.status()["ioctls"] == 11
    assert driver.frames[-1].credit == 21


def test_credits_count_on_modulo_256(desk: Desk, driver: Driver) -> None:
    begun(driver)
    for _ in range(300):
        driver.request(UP, set=True)
        desk.wait(0.001)
        frame = driver.receive()
        assert frame and frame.credit == (driver.sequence + 10) % 256
    assert desk.status()["stalled"] == 0


def test_credits_are_told_even_when_there_is_nothing_else_to_say(desk: Desk) -> None:
    """After five frames of data that nothing answers: an empty frame with the credit of ten more."""
    radio = Radio()
    driver = running(desk, radio)
    driver.joined(radio)
    driver.frames.clear()
    first = driver.sequence
    for _ in range(5):
        assert driver.receive() is None
        driver.send_ethernet(bytes(14))
    frame = driver.receive()
    assert frame and (frame.content, frame.credit) == (b"", (first + 5 + 10) % 256)
    assert driver.receive() is None


def test_frame_whose_lengths_contradict_each_other_is_none(desk: Desk, driver: Driver) -> None:
    begun(driver)
    driver.write(WLAN, 0, struct.pack("<HHBBBBBB2xIIII", 28, 28, 0, 0, 0, 12, 0, 0, UP, 0, 1 << 16, 0))
    assert (desk.status()["ioctls"], desk.status()["stalled"]) == (0, 0)


def test_line_says_that_a_frame_waits_until_it_is_told_that_this_is_known(desk: Desk, driver: Driver) -> None:
    begun(driver)
    assert not desk.line
    driver.request(UP, set=True)
    assert not desk.line
    desk.wait(0.001)
    assert desk.line
    assert driver.number(BUS, 0x04, 2) == PACKET_AVAILABLE
    driver.write(BUS, 0x04, bytes((PACKET_AVAILABLE, 0)))
    assert not desk.line
    driver.write(BUS, 0x00, bytes((0x11,)))  # the other polarity
    assert desk.line


def test_empty_frames_do_not_break_anything(driver: Driver) -> None:
    begun(driver)
    for content in (b"", b"\0", bytes(15)):
        for channel in range(4):
            driver.send(channel, content)
    assert driver.ioctl(UP, set=True)


# -- commands


def test_answer_has_the_id_of_its_question(driver: Driver) -> None:
    begun(driver)
    for _ in range(3):
        answer = driver.ioctl(UP, set=True)
        assert answer and (answer.id, answer.status, answer.error) == (driver.id, 0, False)


def test_what_is_set_is_read_with_the_command_before(driver: Driver) -> None:
    """WLC_SET_PM is 86, WLC_GET_PM 85."""
    begun(driver)
    driver.number_ioctl(86, 2)
    answer = driver.ioctl(85, bytes(4))
    assert answer and answer.data == b"\x02\0\0\0"


def test_unknown_command_and_variable_are_refused_as_unsupported(driver: Driver) -> None:
    """BCME_UNSUPPORTED is -23."""
    begun(driver)
    for command, data in ((9999, bytes(4)), (GET_VAR, b"nothing_of_the_kind\0")):
        answer = driver.ioctl(command, data)
        assert answer and (answer.status, answer.error) == (UNSUPPORTED, True)


def test_variables_are_kept_by_name(driver: Driver) -> None:
    begun(driver)
    driver.set_variable("pm2_sleep_ret", struct.pack("<I", 200))
    driver.set_variable("country", b"DE\0\0\xff\xff\xff\xffDE\0\0")
    assert driver.variable("pm2_sleep_ret", 20)[:4] == struct.pack("<I", 200)
    assert driver.variable("country", 12) == b"DE\0\0\xff\xff\xff\xffDE\0\0"


def test_address_is_the_chips_until_the_host_gives_it_another(desk: Desk, driver: Driver) -> None:
    begun(driver)
    assert driver.variable("cur_etheraddr", 20)[:6].hex(":") == desk.status()["mac"] == "28:cd:c1:00:00:01"
    driver.set_variable("cur_etheraddr", bytes.fromhex("28cdc1abcdef"))
    assert driver.variable("cur_etheraddr", 20)[:6].hex(":") == desk.status()["mac"] == "28:cd:c1:ab:cd:ef"


def test_regulatory_data_count_as_loaded_when_they_were(driver: Driver) -> None:
    begun(driver)
    assert driver.variable("clmload_status", 19)[:4] != bytes(4)
    driver.set_variable("clmload", struct.pack("<HHII", 1 << 12 | 2 | 4, 2, 4, 0) + b"blob")
    assert driver.variable("clmload_status", 19)[:4] == bytes(4)


def test_led_is_the_chips_pin_0_and_dark_without_power(desk: Desk, driver: Driver) -> None:
    begun(driver)
    driver.set_variable("gpioout", struct.pack("<II", 1 << 1, 1 << 1))
    assert not desk.led
    driver.set_variable("gpioout", struct.pack("<II", 1, 1))
    assert desk.led
    assert driver.variable("ccgpioin", 9)[:4] == b"\x03\0\0\0"
    desk.power(False)
    assert not desk.led


def test_only_events_that_were_asked_for_come(desk: Desk) -> None:
    radio = Radio()
    driver = running(desk, radio)
    wanted = bytearray(16)
    wanted[PSK_SUP // 8] |= 1 << PSK_SUP % 8
    driver.set_variable("bsscfg:event_msgs", bytes(4) + wanted)
    driver.join(radio)
    desk.wait(radio.join_seconds)
    assert driver.events() == [KEYED]


def test_nothing_is_joined_before_the_radio_is_up(desk: Desk, driver: Driver) -> None:
    radio = Radio()
    begun(driver)
    driver.join(radio)
    desk.wait(10)
    assert (desk.status()["attempts"], desk.status()["joined"]) == (0, False)


# -- joining


@pytest.mark.parametrize("security", SECURITIES)
def test_join_takes_its_time_and_ends_with_the_keys(desk: Desk, security: str) -> None:
    radio = Radio(security=security, join_seconds=2)
    driver = running(desk, radio)
    driver.join(radio)
    desk.wait(1.99)
    assert driver.events() == []
    desk.wait(0.01)
    assert driver.events() == (JOINED if security == "open" else [*JOINED, KEYED])
    status = desk.status()
    joined_as = "wpa3" if "wpa3" in security else security
    assert (status["joined"], status["ssid"], status["security"]) == (True, "Office", joined_as)
    assert (status["attempts"], status["joins"], status["refused"], status["unanswered"]) == (1, 1, 0, 0)


@pytest.mark.parametrize(
    ("security", "auth", "joined_as"),
    [
        ("wpa2-wpa3", WPA2_PSK, "wpa2"),
        ("wpa2", SAE, None),
        ("wpa3", WPA2_PSK, None),
        ("open", WPA2_PSK, None),
        ("wpa2", 0, None),
    ],
)
def test_network_of_another_security_is_none(desk: Desk, security: str, auth: int, joined_as: str | None) -> None:
    radio = Radio(security=security)
    driver = running(desk, radio)
    driver.join(radio, auth=auth)
    desk.wait(radio.join_seconds)
    assert desk.status()["security"] == joined_as
    assert driver.events() == ([*JOINED, KEYED] if joined_as else [Event(SET_SSID_EVENT, 3)])


def test_station_that_knows_both_joins_a_network_of_wpa2(desk: Desk) -> None:
    driver = running(desk, Radio(security="wpa2"))
    driver.join(Radio(security="wpa2-wpa3"))
    desk.wait(1.5)
    assert desk.status()["security"] == "wpa2"


def test_wrong_password_is_told_when_the_handshake_has_ended(desk: Desk) -> None:
    """Four messages of the access point, a second apart; then PSK_SUP waits for the third (8), deauthenticated (14)."""
    radio = Radio()
    driver = running(desk, radio)
    driver.join(radio, "wrong password")
    desk.wait(radio.join_seconds)
    assert driver.events() == JOINED
    desk.wait(3.99)
    assert driver.events() == []
    desk.wait(0.01)
    assert driver.events() == [Event(PSK_SUP, 8, 14), Event(DEAUTH_IND, reason=15), Event(LINK, reason=2)]
    assert (desk.status()["joined"], desk.status()["refused"], desk.status()["joins"]) == (False, 1, 0)


def test_wrong_password_of_wpa3_is_told_at_once(desk: Desk) -> None:
    radio = Radio(security="wpa3")
    driver = running(desk, radio)
    driver.join(radio, "wrong password")
    desk.wait(radio.join_seconds)
    assert driver.events() == [Event(AUTH, 1), Event(SET_SSID_EVENT, 1)]
    assert desk.status()["refused"] == 1


@pytest.mark.parametrize("around", [{"ssid": "Elsewhere"}, {"in_reach": False}])
def test_no_such_network_is_told(desk: Desk, around: dict) -> None:
    driver = running(desk, Radio(**around))
    driver.join(Radio())
    desk.wait(1.5)
    assert driver.events() == [Event(SET_SSID_EVENT, 3)]
    assert (desk.status()["unanswered"], desk.status()["joined"]) == (1, False)


def test_password_that_is_mended_joins(desk: Desk) -> None:
    radio = Radio()
    driver = running(desk, radio)
    desk.change(password="another")
    driver.join(radio)
    desk.wait(6)
    desk.change(password=radio.password)
    driver.joined(radio)
    assert desk.status()["joined"]
    happened = [what for _, what, *_ in desk.happened()]
    assert happened == ["powered on", "changed", "attempted", "refused", "changed", "attempted", "joined"]


def test_later_request_takes_the_place_of_an_earlier_one(desk: Desk) -> None:
    radio = Radio()
    driver = running(desk, radio)
    driver.join(radio)
    desk.wait(1)
    driver.join(radio)
    desk.wait(1.4)
    assert driver.events() == []
    desk.wait(0.2)
    assert driver.events() == [*JOINED, KEYED]
    assert (desk.status()["attempts"], desk.status()["joins"]) == (2, 1)


def test_host_leaves_and_hears_of_it_after_the_answer(desk: Desk) -> None:
    radio = Radio(leave_seconds=0.5)
    driver = running(desk, radio)
    driver.joined(radio)
    answer = driver.ioctl(DISASSOC, set=True)
    assert answer and driver.events() == []
    assert not desk.status()["joined"]
    desk.wait(0.5)
    assert driver.events() == [Event(LINK, reason=2), Event(DISASSOC_EVENT)]


def test_station_knows_where_it_is(desk: Desk) -> None:
    radio = Radio(rssi=-71)
    driver = running(desk, radio)
    for command in (GET_BSSID, GET_SSID, GET_RSSI):
        answer = driver.ioctl(command, bytes(36))
        assert answer and answer.status == NOT_ASSOCIATED
    driver.joined(radio)
    bssid, ssid, rssi = (driver.ioctl(command, bytes(36)) for command in (GET_BSSID, GET_SSID, GET_RSSI))
    assert bssid and ssid and rssi
    assert bssid.data[:6] != bytes(6)
    assert ssid.data == struct.pack("<I32s", 6, b"Office")
    assert struct.unpack_from("<i", rssi.data) == (-71,)


# -- the access point goes away


@pytest.mark.parametrize(
    ("parting", "events"),
    [
        (DISASSOCIATED, [Event(LINK, reason=2), Event(DISASSOC_EVENT, reason=3)]),
        (DEAUTHENTICATED, [Event(PSK_SUP, 6, 14), Event(DEAUTH_IND, reason=3), Event(LINK, reason=2)]),
        (LINK_DOWN, [Event(LINK, reason=1)]),
        (SILENCE, []),
    ],
)
def test_access_point_goes_away_and_comes_back(desk: Desk, parting: str, events: list[Event]) -> None:
    """In silence the chip does not know; otherwise it is on no network until the host joins again."""
    radio = Radio(parting=parting)
    driver = running(desk, radio)
    driver.joined(radio)
    lost = desk.status()["lost"]
    desk.change(in_reach=False)
    assert driver.events() == events
    assert desk.status()["joined"] is (parting == SILENCE)
    driver.send_ethernet(arp_question(driver))
    assert driver.ethernet() == []
    assert desk.status()["lost"] - lost == (1 if parting == SILENCE else 0)
    desk.change(in_reach=True)
    driver.send_ethernet(arp_question(driver))
    assert len(driver.ethernet()) == (1 if parting == SILENCE else 0)
    if parting != SILENCE:
        driver.joined(radio)
        driver.send_ethernet(arp_question(driver))
        assert len(driver.ethernet()) == 1


def test_what_was_planned_happens_at_its_second(desk: Desk) -> None:
    radio = Radio(join_seconds=1).after(10, in_reach=False, parting=LINK_DOWN).after(12, in_reach=True, rssi=-80)
    driver = running(desk, radio)
    driver.joined(radio)
    passed = desk.happened()[-1][0]
    desk.wait(9.99 - passed)
    assert driver.events() == []
    desk.wait(0.01)
    assert driver.events() == [Event(LINK, reason=1)]
    desk.wait(2)
    driver.joined(radio)
    answer = driver.ioctl(GET_RSSI, bytes(4))
    assert answer and struct.unpack("<i", answer.data) == (-80,)
    changes = [(round(seconds, 6), *details) for seconds, what, *details in desk.happened() if what == "changed"]
    assert changes == [(10, {"in_reach": False, "parting": LINK_DOWN}), (12, {"in_reach": True, "rssi": -80})]


# -- Ethernet, ARP, DHCP, packets


def mac(driver: Driver) -> bytes:
    return bytes.fromhex(driver.desk.status()["mac"].replace(":", ""))


def arp_question(driver: Driver, wanted: bytes = ROUTER, own: bytes = BOARD) -> bytes:
    """RFC 826: Ethernet (1), IPv4, lengths 6 and 4, request (1); sender, and who is wanted."""
    content = struct.pack(">HHBBH6s4s6s4s", 1, IPV4, 6, 4, 1, mac(driver), own, bytes(6), wanted)
    return ethernet(BROADCAST, mac(driver), ARP_TYPE, content).ljust(60, b"\0")


def dhcp_question(driver: Driver, kind: int, options: dict[int, bytes], transaction: int = 0x12345678) -> bytes:
    """RFC 2131 §2: a BOOTP message from nobody to everybody, with the cookie and the options of RFC 2132."""
    message = struct.pack(">BBBBIHH16x16s192xI", 1, 1, 6, 0, transaction, 0, 0, mac(driver), 0x63825363)
    for option, value in ({KIND: bytes((kind,))} | options).items():
        message += bytes((option, len(value))) + value
    packet = udp((bytes(4), 68), (b"\xff" * 4, 67), message + b"\xff")
    return ethernet(BROADCAST, mac(driver), IPV4, packet)


def parse_dhcp(frame: bytes) -> tuple[bytes, dict[int, bytes]]:
    """The address that is given, and the options, of an answer whose headers are right."""
    packet = frame[14:]
    assert struct.unpack(">H", frame[12:14]) == (IPV4,)
    assert (packet[0], checksum(packet[:20]), packet[9]) == (0x45, 0, 17)
    assert struct.unpack_from(">HHH", packet, 20) == (67, 68, len(packet) - 20)
    message = packet[28:]
    assert (message[0], message[4:8], message[236:240]) == (2, b"\x12\x34\x56\x78", b"\x63\x82\x53\x63")
    options, rest = {}, message[240:]
    while rest[0] != 255:
        options[rest[0]], rest = rest[2 : 2 + rest[1]], rest[2 + rest[1] :]
    return message[16:20], options


@pytest.fixture
def member(desk: Desk) -> Driver:
    """On the network."""
    radio = Radio()
    driver = running(desk, radio)
    driver.joined(radio)
    return driver


def test_dhcp_gives_the_address_and_hears_the_name(desk: Desk, member: Driver) -> None:
    member.send_ethernet(dhcp_question(member, DISCOVER, {HOST_NAME: b"relay-berlin"}))
    desk.wait(0.019)
    assert member.ethernet() == []
    desk.wait(0.001)
    (frame,) = member.ethernet()
    assert frame[:6] == mac(member)
    offered, options = parse_dhcp(frame)
    assert (offered, options[KIND], options[SERVER]) == (BOARD, bytes((OFFER,)), ROUTER)
    member.send_ethernet(dhcp_question(member, REQUEST, {WANTED: offered, SERVER: ROUTER}))
    desk.wait(0.02)
    (frame,) = member.ethernet()
    given, options = parse_dhcp(frame)
    assert (given, options[KIND]) == (BOARD, bytes((ACK,)))
    assert (options[MASK], options[GATEWAY], options[DNS]) == (b"\xff\xff\xff\0", ROUTER, ROUTER)
    assert struct.unpack(">I", options[LEASE]) == (3600,)
    assert desk.status()["hostname"] == "relay-berlin"
    assert (desk.status()["address"], desk.packets()) == (None, [])


def test_dhcp_refuses_an_address_that_it_does_not_give_and_leaves_other_servers_alone(
    desk: Desk, member: Driver
) -> None:
    member.send_ethernet(dhcp_question(member, REQUEST, {WANTED: socket.inet_aton("192.168.1.5")}))
    member.send_ethernet(dhcp_question(member, REQUEST, {WANTED: BOARD, SERVER: socket.inet_aton("10.77.0.9")}))
    desk.wait(1)
    (frame,) = member.ethernet()
    given, options = parse_dhcp(frame)
    assert (given, options[KIND]) == (bytes(4), bytes((NAK,)))


@pytest.mark.parametrize("seconds", [5.0, None])
def test_dhcp_answers_late_or_never(desk: Desk, seconds: float | None) -> None:
    radio = Radio(dhcp_seconds=seconds)
    driver = running(desk, radio)
    driver.joined(radio)
    driver.send_ethernet(dhcp_question(driver, DISCOVER, {}))
    desk.wait(4.999)
    assert driver.ethernet() == []
    desk.wait(0.001 if seconds else 1000)
    assert len(driver.ethernet()) == (1 if seconds else 0)


def test_router_is_found_by_arp_and_nobody_else(desk: Desk, member: Driver) -> None:
    for wanted in (ROUTER, BOARD, socket.inet_aton("10.77.0.3")):
        member.send_ethernet(arp_question(member, wanted))
    (frame,) = member.ethernet()
    to, router, kind, *fields = struct.unpack(">6s6sHHHBBH6s4s6s4s", frame)
    assert (to, kind) == (mac(member), ARP_TYPE)
    assert fields == [1, IPV4, 6, 4, 2, router, ROUTER, mac(member), BOARD]


def test_board_is_there_when_it_first_shows_its_address(desk: Desk, member: Driver) -> None:
    """The host hears it as a packet without anything in it; a probe (RFC 5227) shows no address."""
    member.send_ethernet(arp_question(member, BOARD, own=bytes(4)))
    assert (desk.status()["address"], desk.packets()) == (None, [])
    for _ in range(2):
        member.send_ethernet(arp_question(member, BOARD))
    assert (desk.status()["address"], desk.packets()) == ("10.77.0.2", [b""])
    member.joined(Radio())
    assert desk.status()["address"] is None
    member.send_ethernet(arp_question(member, BOARD))
    assert desk.packets() == [b""]


def test_packets_go_to_the_host_and_back_without_what_fills_frames_up(desk: Desk, member: Driver) -> None:
    packet = udp((BOARD, 1234), (ROUTER, 123), b"time?")
    router = bytes.fromhex("02aabbccdd01")
    member.send_ethernet(ethernet(router, mac(member), IPV4, packet).ljust(60, b"\0"))
    assert desk.packets() == [b"", packet]
    answers = [udp((ROUTER, 123), (BOARD, 1234), bytes(size)) for size in (0, 48, 1400)]
    stream = b"".join(map(framed, answers))
    for part in (stream[:1], stream[1:70], stream[70:]):
        desk.from_host(part)
    assert member.ethernet() == [ethernet(mac(member), router, IPV4, answer) for answer in answers]


def test_what_is_no_ipv4_goes_nowhere(desk: Desk, member: Driver) -> None:
    packet = udp((BOARD, 1), (ROUTER, 2), b"")
    for kind, content in ((0x86DD, packet), (IPV4, b"\x60" + packet[1:]), (IPV4, packet[:10]), (ARP_TYPE, bytes(8))):
        member.send_ethernet(ethernet(BROADCAST, mac(member), kind, content))
    assert desk.packets() == []
    assert member.ioctl(UP, set=True)


def test_packets_for_a_group_come_only_to_its_members(desk: Desk, member: Driver) -> None:
    """224.0.0.251 is 01:00:5e:00:00:fb (RFC 1112 §6.4); 239.129.2.3 is 01:00:5e:01:02:03."""
    mdns = udp((ROUTER, 5353), (socket.inet_aton("224.0.0.251"), 5353), b"question")
    other = udp((ROUTER, 1), (socket.inet_aton("239.129.2.3"), 1), b"")
    everybody = udp((ROUTER, 1), (b"\xff" * 4, 1), b"")

    def from_host() -> list[bytes]:
        for packet in (mdns, other, everybody):
            desk.from_host(framed(packet))
        return [frame[:6] for frame in member.ethernet()]

    assert from_host() == [BROADCAST]
    groups = [bytes.fromhex("01005e0000fb"), bytes.fromhex("01005e010203")]
    member.set_variable("mcast_list", struct.pack("<I6s54x", 1, groups[0]))
    assert from_host() == [groups[0], BROADCAST]
    member.set_variable("mcast_list", struct.pack("<I6s6s48x", 2, *groups))
    assert from_host() == [*groups, BROADCAST]


def test_packets_of_the_host_are_dropped_while_nobody_is_there(desk: Desk) -> None:
    driver = running(desk, Radio())
    packet = udp((ROUTER, 1), (BOARD, 2), b"")
    desk.from_host(framed(packet))
    assert driver.ethernet() == []
    driver.joined(Radio())
    assert driver.ethernet() == []


# -- faults


def test_each_third_frame_is_lost(desk: Desk) -> None:
    """Of both directions together: a question (1) and its answer (2), a question that is lost (3), and so on."""
    radio = Radio(lose_each=3)
    driver = running(desk, radio)
    driver.joined(radio)
    answered = []
    for _ in range(6):
        driver.send_ethernet(arp_question(driver))
        answered.append(len(driver.ethernet()))
    assert answered == [1, 0, 1, 0, 1, 0]
    status = desk.status()
    assert (status["sent"], status["received"], status["lost"]) == (6, 3, 3)


def test_losses_by_chance_are_a_share_and_repeat_by_their_seed(desk: Desk) -> None:
    def lost(seed: int, share: float) -> list[int]:
        radio = Radio(lose_share=share)
        desk.lay(radio, seed)
        driver = Driver(desk)
        driver.begin()
        driver.joined(radio)
        found = []
        for _ in range(100):
            driver.send_ethernet(arp_question(driver, BOARD))
            driver.drain()
            found.append(desk.status()["lost"])
        return found

    first = lost(1, 0.3)
    assert first == lost(1, 0.3) != lost(2, 0.3)
    assert 15 <= first[-1] <= 45  # 30 expected, deviation 4.6
    assert lost(1, 0)[-1] == 0 and lost(1, 1)[-1] == 100


def test_dead_chip_answers_nothing_whatever_is_done_to_it(desk: Desk) -> None:
    desk.lay(Radio(dead=True))
    for _ in range(2):
        desk.power(True)
        assert desk.transfer(bytes.fromhex("a0044000"), 4) == bytes(4)
        assert not desk.line
        desk.power(False)
    desk.change(dead=False)
    desk.power(True)
    assert desk.transfer(bytes.fromhex("a0044000"), 4) == bytes.fromhex("beadfeed")


def test_chip_dies_after_its_seconds_and_what_it_knew_is_gone(desk: Desk) -> None:
    radio = Radio().after(20, dead=True).after(30, dead=False)
    driver = running(desk, radio)
    driver.joined(radio)
    driver.set_variable("gpioout", struct.pack("<II", 1, 1))
    desk.wait(17)
    assert desk.status()["joined"] and desk.led
    desk.wait(3)
    assert (driver.read(BUS, 0x14, 4), desk.status()["joined"], desk.led) == (bytes(4), False, False)
    assert driver.ioctl(UP, set=True) is None
    desk.wait(10)
    assert driver.status == 0
    again = Driver(desk)
    desk.power(False)
    again.begin()
    again.joined(radio)
    assert desk.status()["joined"]


def test_hung_firmware_does_nothing_until_the_chip_is_switched_off_and_on(desk: Desk) -> None:
    """The bus still answers: nothing comes, no command is obeyed, no credit is given."""
    radio = Radio()
    driver = running(desk, radio)
    driver.joined(radio)
    ioctls = desk.status()["ioctls"]
    driver.send_ethernet(dhcp_question(driver, DISCOVER, {}))
    desk.change(hung=True)
    desk.wait(1)
    assert driver.read(BUS, 0x14, 4) == b"\xad\xbe\xed\xfe"
    assert driver.ioctl(UP, set=True) is None
    for _ in range(20):
        driver.send_ethernet(arp_question(driver))
    assert (driver.receive(), desk.status()["ioctls"], desk.status()["stalled"]) == (None, ioctls, 0)
    desk.power(False)
    again = Driver(desk)
    again.begin()
    again.joined(radio)
    again.send_ethernet(arp_question(again))
    assert len(again.ethernet()) == 1


def test_reset_of_the_board_takes_the_chips_power_and_nothing_from_what_is_around(desk: Desk) -> None:
    """Seconds go on from before, and so do the counts; what was planned still comes."""
    radio = Radio().after(5, password="another").after(20, dead=True)
    driver = running(desk, radio)
    driver.joined(radio)
    desk.wait(4)
    before = desk.status()
    desk.tell(reset=True)
    after = desk.status()
    assert (after["powered"], after["joined"], after["address"]) == (False, False, None)
    counts = ("powered_on", "attempts", "joins", "sent", "transfers", "ioctls")
    assert [after[count] for count in counts] == [before[count] for count in counts]
    again = Driver(desk)
    again.begin()
    again.joined(radio)
    desk.wait(5)
    assert (desk.status()["refused"], desk.status()["powered_on"]) == (1, 2)
    desk.change(rssi=-60)
    now = desk.happened()[-1][0]
    desk.wait(19.9 - now)
    assert again.read(BUS, 0x14, 4) == b"\xad\xbe\xed\xfe"
    desk.wait(0.2)
    assert again.read(BUS, 0x14, 4) == bytes(4)


def test_two_runs_are_equal_to_the_byte(desk: Desk) -> None:
    def run() -> tuple[list[Frame], list, dict]:
        radio = Radio(lose_share=0.2).after(3, parting=LINK_DOWN, in_reach=False).after(5, in_reach=True)
        driver = running(desk, radio)
        for _ in range(3):
            driver.join(radio)
            desk.wait(1.7)
            for question in (dhcp_question(driver, DISCOVER, {}), arp_question(driver), arp_question(driver)):
                driver.send_ethernet(question)
            desk.wait(0.5)
        driver.drain()
        return driver.frames, desk.happened(), desk.status()

    assert run() == run()


@pytest.mark.parametrize("fields", [{"sid": "Office"}, {"security": "wep"}, {"parting": "angry"}])
def test_what_no_radio_has_is_refused(fields: dict) -> None:
    with pytest.raises((ValueError, TypeError), match=next(iter(fields))):
        Radio(**fields)
    with pytest.raises(ValueError, match=next(iter(fields))):
        Radio().after(1, **fields)
