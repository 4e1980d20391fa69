// The emulator's own socket: one JSON request a line, one JSON answer a line. For tests and measurements that must not
// go through the guest: counters, marks, and the power.
//
//   {"ask": "counters"}                                  {"cycles": …, "instructions": …, …}: counters() below
//   {"ask": "marks"}                                     [[value, cycles], …] of the probe since this was asked last
//   {"ask": "cut", "after": 3, "bytes": 16, "rest": …}   the power fails in the third flash operation from now
//   {"ask": "press", "pressed": true}                    the BOOTSEL button, until it is said to be released
//   {"ask": "lit"}                                       {"lit": true}: the LED
//   {"ask": "lights"}                                    [[lit, nanos], …]: its changes since this was asked last
//   {"ask": "radio", "change": {…}}                      how the radio does; changes what is around it first: wifi.py
//   {"ask": "happenings"}                                [[seconds, what, …], …] around it since this was asked last
//   {"ask": "reset"}                                     as the RUN pin does
//   {"ask": "off"}                                       ends the emulator with status 0

import readline from 'node:readline';
import net from 'node:net';
import { RESTS } from './tear.mjs';

/** `board` answers: machine, boots, reset(), off(). Resolves when clients can connect. */
export function listenForControl(path, board) {
  const server = net.createServer((client) => {
    client.on('error', () => {});
    readline.createInterface({ input: client }).on('line', (line) => {
      client.write(JSON.stringify(answer(board, line)) + '\n');
    });
  });
  return new Promise((resolve, reject) => {
    server.on('error', reject);
    server.listen({ path }, resolve);
  });
}

function answer(board, line) {
  try {
    const request = JSON.parse(line);
    if (!Object.hasOwn(ANSWERS, request.ask)) throw new Error(`nothing answers "${request.ask}"`);
    return ANSWERS[request.ask](board, request) ?? {};
  } catch (error) {
    return { error: error.message };
  }
}

const ANSWERS = {
  counters: (board) => counters(board),
  marks: ({ machine }) => machine.probe.marks.splice(0),
  cut: ({ machine: { flash } }, { after, bytes, rest }) => {
    if (!(after >= 1)) throw new Error('"after" counts from 1');
    if (rest !== undefined && !RESTS.includes(rest)) throw new Error(`"rest" is one of ${RESTS.join(', ')}`);
    flash.cutAt(flash.operations + after, { bytes, rest });
  },
  press: ({ machine }, { pressed }) => machine.press(pressed),
  lit: ({ machine: { lit } }) => ({ lit }),
  lights: ({ machine }) => machine.lights.splice(0),
  radio: (board, { change }) => {
    if (change) air(board).change(change);
    return air(board).status();
  },
  happenings: (board) => air(board).happenings.splice(0),
  reset: (board) => board.reset(),
  off: (board) => board.off(),
};

function air(board) {
  if (!board.air) throw new Error('the board has no radio');
  return board.air;
}

export function counters({ machine, boots }) {
  const { cycles, printedCycles, printedNanos, instructions, nanos, flash, lowestStack, ratings } = machine;
  return {
    boots,
    cycles,
    printed_cycles: printedCycles,
    printed_nanos: printedNanos,
    instructions,
    nanos,
    flash_operations: flash.operations,
    lowest_stack: lowestStack,
    ...ratings.state(),
  };
}
