// What a flash operation leaves when the power fails in the middle of it. Owns the two parameters of a torn operation:
//   bytes   how many of its first bytes took effect (undefined: half)
//   rest    what the others hold: `old` (nothing happened there), `blank` (an erase that was done but not reported),
//           `bits` (of the bits that were to change, each by chance did or did not), `random` (anything)
// A torn program clears nothing beyond what it was to clear, whatever the rest: for it all but `old` mean `bits`.

export const RESTS = ['old', 'blank', 'bits', 'random'];

/** Erases `target` (one sector) in part. */
export function tearErase(target, { bytes = target.length / 2, rest = 'bits' }, random) {
  const clean = Math.min(bytes, target.length);
  target.fill(0xff, 0, clean);
  for (let i = clean; i < target.length; i++) {
    if (rest === 'blank') target[i] = 0xff;
    else if (rest === 'random') target[i] = random.byte();
    else if (rest === 'bits') target[i] |= random.byte();
  }
}

/** Programs `data` over `target` (one page) in part. */
export function tearProgram(target, data, { bytes = data.length / 2, rest = 'old' }, random) {
  const written = Math.min(bytes, data.length);
  for (let i = 0; i < data.length; i++) {
    if (i < written) target[i] &= data[i];
    else if (rest !== 'old') target[i] &= data[i] | random.byte();
  }
}
