// Keeps the prototypes that all values share as they are, in a process where no other user's code has a word.

/** Nobody assigns to objects that inherit from these what these have themselves, so they can be frozen. */
const frozen = [
  Array,
  String,
  Number,
  Boolean,
  BigInt,
  Symbol,
  RegExp,
  Date,
  Map,
  Set,
  WeakMap,
  WeakSet,
  Promise,
  ArrayBuffer,
];

/**
 * Makes it impossible to add anything to them: data that reaches a prototype fails there, instead of changing every
 * value of the process. What plain objects and functions inherit from stays writable, since libraries give their own
 * objects a `constructor` or `toString` by assignment, which a frozen prototype would refuse.
 */
export function closePrototypes(): void {
  for (const { prototype } of frozen) Object.freeze(prototype);
  for (const { prototype } of [Object, Function, Error, Uint8Array]) Object.seal(prototype);
}
