// Names of machines, for people.

const abbreviations = new Map([
  ['id', 'ID'],
  ['ip', 'IP'],
  ['sha256', '(SHA-256)'],
  ['dn', 'DN'],
  ['os', 'OS'],
  ['tpm', 'TPM'],
  ['ak', 'AK'],
  ['ek', 'EK'],
]);

/** `fingerprint_sha256` → `Fingerprint (SHA-256)`, `device.identity.approved` → `Device identity approved`. */
export function plainName(name: string): string {
  const words = name.split(/[._-]+/).filter((word) => word !== '');
  const text = words.map((word) => abbreviations.get(word.toLowerCase()) ?? word.toLowerCase()).join(' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** `1 device`, `3 devices`. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString()} ${count === 1 ? one : many}`;
}

/** A long hash in groups that eyes can compare. */
export const grouped = (hash: string): string => hash.replace(/(.{8})(?=.)/g, '$1 ');

/** The two ends of a long hash. */
export const shortened = (hash: string): string => (hash.length > 20 ? `${hash.slice(0, 8)}…${hash.slice(-8)}` : hash);
