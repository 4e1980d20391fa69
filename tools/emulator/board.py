"""An emulated board as an object: power, console, network, counters. What runs on it is in the image
and the flash file.

    with Board(image, flash, guest_port=8100) as board:
        board.repl.enter()
        board.repl.exec("print(1 + 1)")
        board.wait_for_link()
        socket.create_connection(board.address)

Time is the board's (`board.clock`): busy code runs about as fast as on the chip, slower on a busy computer, and host
programs that live in its time notice neither. For a person as the peer `realtime` has the guest's clock follow the
host's. For runs that repeat bit for bit see execution.py.
"""

import fcntl
import json
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from tools.emulator.clock import Clock
from tools.emulator.network import Network
from tools.emulator.program import Cut, EmulatorError, command
from tools.emulator.repl import Repl
from tools.emulator.terminal import Terminal
from tools.emulator.wifi import Radio, Wifi

START_SECONDS = 20.0
UART = 0


@dataclass(frozen=True)
class Counters:
    """Since the board was switched on or reset (boots and flash_operations: since start()). Cycles are exact."""

    boots: int
    cycles: int
    printed_cycles: int  # when it last printed something: what the board does until somebody has read that is not in it
    printed_nanos: float
    instructions: int
    nanos: float  # guest time
    flash_operations: int
    lowest_stack: int  # the lowest stack pointer seen
    clock_hz: float  # of the processor, as the image has set it, like the next two
    core_volts: float
    flash_hz: float


class Board:
    def __init__(
        self,
        image: Path,
        flash: Path,
        *,
        guest_port: int | None = None,
        port: int = 0,
        console_port: int | None = None,
        cut: Cut | None = None,
        seed: int = 1,
        clock: Clock | None = None,
        realtime: bool = False,
        radio: Radio | None = None,
    ) -> None:
        """`flash` is made if it is not there; the image is laid over it at each start.

        With a guest_port there is a network: connections to `port` of 127.0.0.1 (0: a free one, see `address`) reach
        that port of the board. console_port: the console on TCP besides. `cut` is a power cut to come. Without a
        `clock` that others share it has one of its own, which begins with this computer's time. A board with a `radio`
        has its network there, one without on its UART.
        """
        self.image, self.flash = image, flash
        self._guest_port, self._port = guest_port, port
        self._realtime = realtime
        self._radio = radio
        self._options = ["--seed", str(seed), *(cut.options() if cut else []), *(["--realtime"] if realtime else [])]
        self._options += radio.options() if radio else []
        if console_port is not None:
            self._options += ["--console", str(console_port)]
        self._clock = clock
        self._clock_folder: tempfile.TemporaryDirectory[str] | None = None
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._network: Network | None = None
        self._repl: Repl | None = None
        self._lock: BinaryIO | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Switches the board on. EmulatorError if it is on, or if its flash is in use."""
        if self._process:
            raise EmulatorError("the board is on")
        self._lock_flash()
        self._folder = Path(tempfile.mkdtemp(prefix="tessera-board-"))  # short: a socket's path has 107 bytes at most
        try:
            self._start_emulator(self._folder)
            if self._guest_port is not None:
                radio = self._radio is not None
                line = self._folder / ("air" if radio else "uart")
                self._network = Network(
                    line, self._guest_port, self._port, self.clock, realtime=self._realtime, radio=radio
                )
                self._port = self._network.port  # the same again when it is switched on again
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Switches it off, if it is on. Its flash is in the file."""
        if self._process:
            self._process.terminate()
            self._process.wait()
        self._clean_up()

    def kill(self) -> None:
        """SIGKILL: a power cut between two flash operations."""
        if self._process:
            self._process.kill()
            self._process.wait()
        self._clean_up()

    def wait(self, timeout: float | None = None) -> int:
        """Until the board goes off by itself; returns the emulator's status (76: the power was cut). TimeoutError after
        so many seconds of the board."""
        if not self._process:
            raise EmulatorError("the board is off")
        status = self._process.wait() if timeout is None else self.clock.wait_for(self._end, timeout)
        if status is None:
            raise TimeoutError(f"the board is still on after {timeout} s")
        self._clean_up()
        return status

    def _end(self, real_seconds: float) -> int | None:
        assert self._process
        try:
            return self._process.wait(real_seconds)
        except subprocess.TimeoutExpired:
            return None

    def ended(self) -> int | None:
        """The emulator's status if the board went off by itself, None while it is on."""
        return self._process.poll() if self._process else None

    @property
    def clock(self) -> Clock:
        """The board's time, which goes on while it is off."""
        if self._clock is None:
            self._clock_folder = tempfile.TemporaryDirectory(prefix="tessera-clock-")
            self._clock = Clock(Path(self._clock_folder.name) / "clock")
        return self._clock

    def sleep(self, seconds: float) -> None:
        """Lets the board's time pass; it need not last as long."""
        self.clock.sleep(seconds)

    @property
    def address(self) -> tuple[str, int]:
        """Where the host's programs reach the board's port."""
        if self._network is None:
            raise EmulatorError("the board has no network, or is off")
        return "127.0.0.1", self._network.port

    def wait_for_link(self, timeout: float = 60) -> None:
        """Until the board has brought its network up; after a reset it comes up anew."""
        if self._network is None:
            raise EmulatorError("the board has no network, or is off")
        self._network.wait_for_link(timeout)

    def resolve(self, name: str, timeout: float = 10) -> str:
        """The address that the board gives for NAME.local, when it is asked in its network. TimeoutError."""
        if self._network is None:
            raise EmulatorError("the board has no network, or is off")
        return self._network.resolve(name, timeout)

    @property
    def wifi(self) -> Wifi:
        """Its radio. EmulatorError if it has none."""
        if self._radio is None:
            raise EmulatorError("the board has no radio: give it a `radio`")
        return Wifi(self._ask)

    @property
    def console(self) -> Path:
        """The Unix socket of the console."""
        if self._folder is None:
            raise EmulatorError("the board is off")
        return self._folder / "console"

    @property
    def repl(self) -> Repl:
        """The console, for programs; one connection that outlives resets of the board."""
        if self._repl is None:
            self._repl = Repl(self.console, self.clock)
        return self._repl

    def terminal(self, link: Path | None = None) -> Terminal:
        """The console as a pseudo-terminal."""
        return Terminal(self.console, link)

    def counters(self) -> Counters:
        return Counters(**self._ask("counters"))

    def cycles(self) -> int:
        return self.counters().cycles

    def marks(self) -> list[tuple[int, int]]:
        """(value, cycles) of each write to the probe's mark register (probe.mjs) since this was asked last."""
        return [(value, cycles) for value, cycles in self._ask("marks")]

    def cut_power(self, cut: Cut) -> None:
        """The power fails in the cut.at-th flash operation from now."""
        self._ask("cut", after=cut.at, **{k: v for k, v in (("bytes", cut.bytes), ("rest", cut.rest)) if v is not None})

    def press(self, pressed: bool) -> None:
        """Presses the BOOTSEL button, or releases it; a reset does."""
        self._ask("press", pressed=pressed)

    def lit(self) -> bool:
        """Whether the LED is lit."""
        return bool(self._ask("lit")["lit"])

    def light_changes(self) -> list[tuple[bool, float]]:
        """(lit, guest seconds since the reset) of each change of the LED since this was asked last."""
        return [(lit, nanos / 1e9) for lit, nanos in self._ask("lights")]

    def reset(self) -> None:
        """As the RUN pin does."""
        self._ask("reset")

    def _start_emulator(self, folder: Path) -> None:
        options = ["--lifeline", "--clock", str(self.clock.path), "--flash", str(self.flash)]
        options += ["--control", str(folder / "control")]
        options += ["--console", str(folder / "console")]
        options += ["--air", str(folder / "air")] if self._radio else ["--uart", f"{UART}:{folder / 'uart'}"]
        log = folder / "log"
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                command(self.image, *options, *self._options), stdin=subprocess.PIPE, stderr=errors
            )
        end = time.monotonic() + START_SECONDS
        while not (folder / "control").exists():  # made last
            if self._process.poll() is not None or time.monotonic() > end:
                raise EmulatorError(f"the emulator did not start: {log.read_text().strip()}")
            time.sleep(0.01)

    def _ask(self, what: str, **details: Any) -> Any:
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.console.with_name("control")))
            control.sendall(json.dumps({"ask": what, **details}).encode() + b"\n")
            with control.makefile() as lines:
                answer = json.loads(lines.readline())
        if isinstance(answer, dict) and "error" in answer:
            raise EmulatorError(answer["error"])
        return answer

    def _lock_flash(self) -> None:
        """Two boards on one flash would each destroy what the other wrote."""
        self._lock = self.flash.open("ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise EmulatorError(f"{self.flash} is the flash of a board that is on") from None

    def _clean_up(self) -> None:
        if self._repl:
            self._repl.close()
        if self._network:
            self._network.close()
        if self._process and self._process.stdin:
            self._process.stdin.close()
        self.clock.switched_off()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock:
            self._lock.close()
        self._repl = self._network = self._process = self._folder = self._lock = None
