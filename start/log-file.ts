// A log file that never grows beyond its limit: when it is full it becomes the older one, of which there is one.
import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs';

export interface LogFile {
  readonly path: string;
  write(chunk: Buffer): void;
  close(): void;
}

const limitBytes = 10 * 1024 * 1024;

/** Writes at once and in order, so that the last words of a process that died are there. */
export function openLogFile(path: string, limit = limitBytes): LogFile {
  let file = openSync(path, 'a', 0o600);
  let size = fstatSync(file).size;
  let closed = false;
  return {
    path,
    write(chunk) {
      if (closed) return;
      if (size > 0 && size + chunk.length > limit) {
        closeSync(file);
        renameSync(path, `${path}.1`);
        file = openSync(path, 'a', 0o600);
        size = 0;
      }
      size += writeSync(file, chunk);
    },
    close() {
      if (!closed) closeSync(file);
      closed = true;
    },
  };
}
