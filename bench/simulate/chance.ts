// Chance that can be repeated and is fast: Mulberry32, good enough for rates and schedules, never for keys.
/** Numbers from 0 up to 1, the same ones for the same seeds. */
export function chanceOf(seed: number, index = 0): () => number {
  let state = (Math.imul(seed, 0x9e_37_79_b1) + Math.imul(index, 0x85_eb_ca_6b)) >>> 0;
  return () => {
    state = (state + 0x6d_2b_79_f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
