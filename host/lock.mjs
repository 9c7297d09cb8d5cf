// A lock file that names its holder, and that the next one takes over when the holder was killed. Plain JavaScript for the bootstrap.
import { randomUUID } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { identify, isRunning } from './identity.mjs';

export async function acquireLock(path, whenHeld) {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const own = { ...identify(process.pid), since: new Date().toISOString() };
  // A link appears with its content, so nobody reads half a lock.
  const draft = `${path}.${process.pid}.${randomUUID()}`;
  writeFileSync(draft, JSON.stringify(own), { mode: 0o600 });
  try {
    let predecessor = null;
    while (!tryLink(draft, path)) {
      const holder = read(path);
      if (holder !== null && isRunning(holder)) {
        whenHeld(holder);
      } else if (tryLink(draft, `${path}.takeover`)) {
        // Only who holds the second lock removes the first, so nobody removes the lock of a faster successor.
        const present = read(path);
        if (present === null || !isRunning(present)) {
          predecessor = present;
          rmSync(path, { force: true });
        }
        rmSync(`${path}.takeover`, { force: true });
        continue;
      } else {
        const other = read(`${path}.takeover`);
        if (other !== null && !isRunning(other)) rmSync(`${path}.takeover`, { force: true });
      }
      await sleep(100);
    }
    return createLock(path, own, predecessor);
  } finally {
    rmSync(draft, { force: true });
  }
}

function createLock(path, own, predecessor) {
  return {
    predecessor,
    note(fields) {
      writeFileSync(`${path}.${process.pid}`, JSON.stringify({ ...own, ...fields }), { mode: 0o600 });
      renameSync(`${path}.${process.pid}`, path);
    },
    release() {
      const present = read(path);
      if (present?.pid === own.pid && present.started === own.started) rmSync(path, { force: true });
    },
  };
}

function tryLink(from, to) {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

function read(path) {
  try {
    const { pid, started, since, ...fields } = JSON.parse(readFileSync(path, 'utf8'));
    return { ...fields, pid: Number(pid), started: String(started), since: String(since) };
  } catch {
    return null;
  }
}
