// `sentinel-agent service`: prints, writes, checks and removes the definition that a service manager runs the agent by.
import type { Random } from '#contracts/deps.ts';
import { printable } from '#contracts/printable.ts';
import { FileProblem } from '../file-problem.ts';
import type { System } from '../system.ts';
import { type Definition, findOpen, readDefinition, removeDefinition, writeDefinition } from './file.ts';
import { launchd } from './launchd.ts';
import { seal } from './seal.ts';
import { checkService, type Command, type Service, type ServiceKind } from './service.ts';
import { systemd } from './systemd.ts';
import { windows } from './windows.ts';

export const serviceKinds = { systemd, launchd, windows } as const satisfies Record<string, ServiceKind>;
export type ServiceKindName = keyof typeof serviceKinds;

export const serviceVerbs = ['print', 'write', 'check', 'remove'] as const;
export type ServiceVerb = (typeof serviceVerbs)[number];

export interface ServiceRequest {
  readonly verb: ServiceVerb;
  readonly kind: ServiceKind;
  readonly service: Service;
  /** Another place than the one where the service manager looks, which is then left alone. */
  readonly output: string | null;
  /** Also what we did not make, or what was changed by hand. */
  readonly force: boolean;
}

export interface ServiceDeps {
  readonly system: Pick<System, 'platform' | 'run'>;
  readonly random: Random;
  /** What the command is for, on standard output. */
  readonly say: (text: string) => void;
  /** What is said about it, on standard error. */
  readonly tell: (line: string) => void;
}

/** The kind of this machine; `null` where there is none that we know. */
export function kindOf(platform: NodeJS.Platform): ServiceKindName | null {
  const names = Object.keys(serviceKinds) as ServiceKindName[];
  return names.find((name) => serviceKinds[name].platform === platform) ?? null;
}

/**
 * @returns Whether all is as it should be.
 * @throws FileProblem
 */
export async function runService(request: ServiceRequest, deps: ServiceDeps): Promise<boolean> {
  const { verb, kind, service, output } = request;
  checkService(kind, service);
  const text = seal(kind.render(service));
  if (verb === 'print') {
    deps.say(text);
    return true;
  }
  if (output === null && deps.system.platform !== kind.platform)
    throw new FileProblem(
      kind.file,
      `is not a place of this machine, which has no ${kind.title}`,
      'Name a file with --output.',
    );
  const path = output ?? kind.file;
  const present = await readDefinition(path, kind.encoding);
  if (verb === 'write') return write({ path, text, present }, request, deps);
  if (verb === 'check') return check({ path, text, present }, request, deps);
  return remove({ path, present }, request, deps);
}

interface Place {
  readonly path: string;
  readonly present: Definition | null;
}

async function write(
  { path, text, present }: Place & { text: string },
  { kind, output, force }: ServiceRequest,
  { random, tell }: ServiceDeps,
): Promise<boolean> {
  if (present?.text === text) {
    tell(`${path} is up to date.`);
    return true;
  }
  if (present !== null && !force) demandOurs(path, present);
  await writeDefinition(path, text, kind.encoding, random);
  tell(`${path} is written.`);
  if (output === null) for (const line of ['Next, as administrator:', ...kind.toStart]) tell(`  ${line}`);
  return true;
}

async function check(
  { path, text, present }: Place & { text: string },
  { kind, service, output }: ServiceRequest,
  { system, tell }: ServiceDeps,
): Promise<boolean> {
  const problem = problemOf(present, text);
  tell(problem === null ? `ok       ${path} is as this version renders it.` : `error    ${path} ${problem}`);
  if (output !== null) return problem === null;
  const state = await system.run(kind.state.program, kind.state.args);
  const isRunning = state !== null && kind.state.isRunning(state);
  tell(isRunning ? `ok       ${kind.title} runs the agent.` : `error    ${kind.title} does not run the agent.`);
  // A part of it is what the agent says of itself.
  const said = isRunning || state === null ? [] : state.trim().slice(0, 2000).split('\n');
  for (const line of said) tell(`           ${printable(line)}`);
  const isClosed = await tellOpenFiles(kind, service, tell);
  return problem === null && isRunning && isClosed;
}

/** Whoever can change what a service runs is what runs. */
async function tellOpenFiles(kind: ServiceKind, { executable, config }: Service, tell: (line: string) => void) {
  let isClosed = true;
  for (const path of kind.platform === 'win32' ? [] : [executable, config]) {
    const open = await findOpen(path);
    if (open === null) continue;
    tell(`error    ${open} can be changed by others. Close it: chmod go-w ${JSON.stringify(open)}`);
    isClosed = false;
  }
  return isClosed;
}

function problemOf(present: Definition | null, text: string): string | null {
  if (present === null) return 'does not exist. Make it with: sentinel-agent service write';
  if (present.text === text) return null;
  switch (present.seal) {
    case 'none':
      return 'was not made by sentinel-agent.';
    case 'changed':
      return 'was changed by hand. Make it again with: sentinel-agent service write --force';
    case 'whole':
      return 'is of another version, or for other paths. Make it again with: sentinel-agent service write';
  }
}

async function remove(
  { path, present }: Place,
  { kind, output, force }: ServiceRequest,
  { system, tell }: ServiceDeps,
): Promise<boolean> {
  if (present !== null && !force) demandOurs(path, present);
  const steps = async (commands: readonly Command[]): Promise<boolean> => {
    let done = true;
    for (const { program, args } of output === null ? commands : []) {
      if ((await system.run(program, args)) !== null) continue;
      tell(`${kind.title} did not do: ${program} ${args.join(' ')}`);
      done = false;
    }
    return done;
  };
  if (present === null) {
    tell(`${path} does not exist.`);
    return true;
  }
  // One that never ran, or was stopped by hand, has nothing to stop; one that goes on running keeps its definition.
  const state = output === null ? await system.run(kind.state.program, kind.state.args) : null;
  const isStopped = await steps(kind.toStop);
  if (!isStopped && state !== null && kind.state.isRunning(state))
    throw new FileProblem(path, 'stays, since the agent could not be stopped', 'Run this as administrator (sudo).');
  await removeDefinition(path);
  tell(`${path} is removed. Configuration, key and state of the agent are still there.`);
  return steps(kind.toForget);
}

function demandOurs(path: string, { seal: found }: Definition): void {
  if (found === 'none')
    throw new FileProblem(path, 'was not made by sentinel-agent', 'Look at it; --force takes it all the same.');
  if (found === 'changed')
    throw new FileProblem(path, 'was changed by hand', 'Keep the change elsewhere; --force takes it all the same.');
}
