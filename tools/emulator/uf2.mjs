// UF2, the file format of images: 512-byte blocks that each say where in flash their payload goes.
// Source: the format's specification, https://github.com/microsoft/uf2.

const BLOCK = 512;
const MAGIC = [0x0a324655, 0x9e5d5157];
const FLASH_BASE = 0x10000000;

/** Lays the image over the flash bytes. Returns how many bytes were laid; none is an error. */
export function layUf2(flash, file) {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  let laid = 0;
  for (let at = 0; at + BLOCK <= file.length; at += BLOCK) {
    if (MAGIC.some((word, i) => view.getUint32(at + 4 * i, true) !== word)) continue;
    const offset = view.getUint32(at + 12, true) - FLASH_BASE;
    const size = view.getUint32(at + 16, true);
    if (offset < 0 || offset + size > flash.length) throw new Error(`a block for 0x${offset.toString(16)} of flash`);
    flash.set(file.subarray(at + 32, at + 32 + size), offset);
    laid += size;
  }
  if (!laid) throw new Error('not a UF2 image');
  return laid;
}
