// What a program for operators says, and the exit code that goes with it.
/** On standard output: what was asked for. */
export function say(text: string): number {
  process.stdout.write(text);
  return 0;
}

/** On standard error: why not. */
export function fail(text: string, exitCode: number): number {
  process.stderr.write(`${text}\n`);
  return exitCode;
}
