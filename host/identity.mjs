// Processes by identity: a pid with its start time, so that a reused pid is never mistaken for ours. Plain JavaScript for the bootstrap.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

export function identify(pid) {
  const look = { linux: startedByProc, win32: startedByPowerShell }[process.platform] ?? startedByPs;
  const started = look(pid);
  return started === null ? null : { pid, started };
}

export function isRunning(identity) {
  return identify(identity.pid)?.started === identity.started;
}

function startedByProc(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command, second and in brackets, may hold anything; what follows its last bracket is regular.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state, ticks] = [fields[0], fields[19]];
    if (state === 'Z' || state === 'X' || ticks === undefined) return null;
    // Ticks count from the boot, so a number can come again after one.
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}/${ticks}`;
  } catch {
    return null;
  }
}

function startedByPs(pid) {
  try {
    const options = { encoding: 'utf8', timeout: 5_000 };
    const line = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], options).trim();
    return line === '' || line.startsWith('Z') ? null : line.replace(/^\S+\s+/, '');
  } catch {
    return null;
  }
}

function startedByPowerShell(pid) {
  try {
    // By its full path: Windows would look for a bare name in the present folder first.
    const program = 'C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe';
    const command = `(Get-Process -Id ${Number(pid)} -ErrorAction Stop).StartTime.ToFileTimeUtc()`;
    const options = { encoding: 'utf8', timeout: 15_000, windowsHide: true, stdio: ['ignore', 'pipe', 'ignore'] };
    const text = execFileSync(program, ['-NoProfile', '-NonInteractive', '-Command', command], options).trim();
    return text === '' ? null : text;
  } catch {
    return null;
  }
}
