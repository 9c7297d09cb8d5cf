// The error for bytes that are not what they claim to be; each protocol turns it into its own problem code.

export class Malformed extends Error {
  override readonly name = 'Malformed';
}
