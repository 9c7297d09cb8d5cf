// Sends secrets through every route and every program of an installation, in good and in bad requests, and collects all that is left of it.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Agent, fetch } from 'undici';
import { agentFolder, runAgent, writeIdentity } from './agent.ts';
import { attackedAudience, type Attacked } from './attacked.ts';
import { databaseText, filesIn, secretLines, secretsOf, type Places } from './canaries.ts';
import type { Cleanup } from './cleanup.ts';
import { eventually } from './eventually.ts';
import { matrix } from './routes.ts';

export interface Hunt {
  /** What may be nowhere. */
  readonly secrets: Map<string, string>;
  /** What people and devices say, which is on record, and may neither be logged nor readable in Temporal. */
  readonly said: Map<string, string>;
  /** What is repeated to whoever sent it, so that they find their mistake, and is nowhere else. */
  readonly echoed: Map<string, string>;
  readonly places: Map<string, Buffer>;
  /** Those of the places that hold what was said on purpose. */
  readonly records: ReadonlySet<string>;
}

const cli = fileURLToPath(new URL('../../cli/bin.mjs', import.meta.url));
const canary = (name: string): string => `${name}/+"\\ ${randomBytes(18).toString('base64')}`;

export async function hunt(t: Cleanup, attacked: Attacked): Promise<Hunt> {
  const { stack, second, urls, voters, totpSecret, connect, reviewOf, tokenOf } = attacked;
  const secrets = await secretsOf(stack);
  for (const [name, password] of voters) secrets.set(`the password of ${name}`, password);
  secrets.set('the seed of one-time codes', totpSecret);
  const guess = canary('guess');
  const inBody = canary('body');
  const field = canary('field');
  const credential = randomBytes(24).toString('base64url');
  secrets.set('a password that was wrong', guess);
  secrets.set('the value of a field', inBody);
  secrets.set('a token that is none', credential);
  const said = new Map([
    ['a reason', canary('reason')],
    ['a host name', `host-${randomBytes(12).toString('hex')}`],
    ['the name of a device', `device-${randomBytes(12).toString('hex')}`],
  ]);
  const [reason = '', hostname = '', deviceId = ''] = said.values();

  const admin = await tokenOf('root');
  const [, , signature = ''] = admin.split('.');
  secrets.set('the token of a session', admin).set('the signature of that token', signature);
  const answers: string[] = [];
  const stream = await openStream(t, urls[0], await readFile(stack.instance.ca_file, 'utf8'), admin);

  // A device that says who it is, and is decided about.
  const device = await stack.device(deviceId);
  for (const [index, line] of secretLines(device.certificate.keyPem).entries())
    secrets.set(`the key of a device ${index}`, line);
  await device.heartbeat(1, { hostname });
  const { digest } = await reviewOf(deviceId);
  await (await stack.as('ann')).devices.identityReview(deviceId, { decision: 'approve', digest, reason });
  await device.heartbeat(2, { hostname });
  await device.heartbeat(2, { hostname });
  await device.heartbeat(3, { hostname, [field]: 1 });

  // What it is said to be, for another system: whoever has that can show it.
  const { assertion } = await (await stack.as('root')).devices.trustAssertion(deviceId, { audience: attackedAudience });
  for (const [index, text] of assertion.split('.').slice(1).entries()) secrets.set(`a trust assertion ${index}`, text);

  // Every route, with secrets where they belong and where they do not.
  const people = await connect();
  const bodiesOf = (): string[] => [
    JSON.stringify({ username: 'voter-0', password: guess }),
    JSON.stringify({ username: 'nobody', password: guess, totp: '000000' }),
    JSON.stringify({ device_id: 'x', heartbeat_counter: 1, private_key: inBody, decision: inBody, [field]: inBody }),
    `{"password":${JSON.stringify(guess)},"token":${JSON.stringify(inBody)}`,
    '[1,2',
  ];
  for (const route of Object.keys(matrix)) {
    const [method = '', pattern = ''] = route.split(' ');
    if (pattern.startsWith('/temporal') || route === 'GET /api/events/stream') continue;
    const path = pattern.replace(/^\*/, '/*').replaceAll(/:\w+|\*/g, 'none-such');
    const bodies = method === 'GET' ? [undefined] : bodiesOf();
    const authorizations = [
      undefined,
      `Bearer ${admin}`,
      `Bearer ${credential}`,
      `Basic ${btoa(`root:${credential}`)}`,
    ];
    for (const [index, authorization] of authorizations.entries()) {
      // One body for each credential is enough to see every way out of a route.
      const body = bodies[index % bodies.length];
      const answer = await people.send(`${urls[index % 2]}${path}?token=${credential}`, {
        method,
        headers: {
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(authorization === undefined ? {} : { authorization }),
          cookie: `__Host-sentinel=${credential}`,
          'x-csrf-token': credential,
          'x-sentinel-proxy-secret': credential,
        },
        ...(body === undefined ? {} : { body }),
      });
      // The token of CSRF is for the one who asks.
      if (pattern !== '/api/admin/me') answers.push(answer.text);
    }
  }
  for (const body of bodiesOf())
    answers.push(
      (
        await people.send(`${urls[0]}/api/admin/login`, {
          method: 'POST',
          body,
          headers: { 'content-type': 'application/json' },
        })
      ).text,
    );
  // One of the routes has ended the session.
  const again = await tokenOf('root');
  secrets.set('the token of another session', again);
  const monitoring = secrets.get('SENTINEL_MONITORING_BEARER_TOKEN of api 0') ?? '';
  const metrics = await people.send(`${urls[0]}/api/metrics`, { headers: { authorization: `Bearer ${monitoring}` } });
  const exported = await people.send(`${urls[0]}/api/audit/export`, { headers: { authorization: `Bearer ${again}` } });

  // The programs of people and devices.
  const environment = { SENTINEL_URL: urls[0], SENTINEL_CA_FILE: stack.instance.ca_file, SENTINEL_TOKEN: again };
  let commands = '';
  for (const words of ['status', 'device list', 'device show none-such', 'audit list', 'audit list --json', 'doctor'])
    commands += await runCli(words.split(' '), environment);
  commands += await runCli(['device', 'list'], { ...environment, SENTINEL_TOKEN: credential });
  const folder = await agentFolder(t);
  const agentIdentity = await stack.ca.issueDevice({ deviceId: 'talkative' });
  for (const [index, line] of secretLines(agentIdentity.keyPem).entries())
    secrets.set(`the key of an agent ${index}`, line);
  await writeIdentity(folder, agentIdentity, stack.ca.caCertificatePem);
  const agent = await runAgent(t, ['run', '--once', '--identity', folder, '--url', urls[0]]);

  await eventually(() => stream.text().includes('device.identity.approved'), 'the decision in the stream');
  const records = new Set([
    'the database',
    'the stream of events',
    'the exported audit trail',
    'the command line',
    'answers',
  ]);
  const places = new Map<string, Buffer>([
    ['the database', await databaseText(stack)],
    ['the stream of events', Buffer.from(stream.text())],
    ['the exported audit trail', Buffer.from(exported.text)],
    ['the command line', Buffer.from(commands)],
    ['answers', Buffer.from(answers.join('\n'))],
    ['metrics', Buffer.from(metrics.text)],
    ['the agent', Buffer.from(`${agent.out}\n${agent.errors}`)],
    ['the log of the second API', Buffer.from(second.log())],
    ...(await filesIn(join(stack.home, 'logs'))),
    ...(await filesIn(join(stack.home, 'temporal'))),
  ]);
  return { secrets, said, echoed: new Map([['the name of a field', field]]), places, records };
}

/** What every place has to hold, or it was not really looked at. */
export const marks: Readonly<Record<string, RegExp>> = {
  'the database': /admin_session|audit_event/,
  'the stream of events': /device\.identity\.approved/,
  'the exported audit trail': /device\.identity\.approved/,
  'the command line': /resource\.not_found/,
  answers: /request\.invalid/,
  metrics: /sentinel_/,
  'the agent': /pending|approv/,
  'the log of the second API': /the API serves/,
};

export function placesWithout(found: Places, wanted: Readonly<Record<string, RegExp>>): string[] {
  return Object.entries(wanted).flatMap(([place, mark]) =>
    mark.test(found.get(place)?.toString('latin1') ?? '') ? [] : [place],
  );
}

async function openStream(t: Cleanup, url: string, ca: string, token: string): Promise<{ text(): string }> {
  const dispatcher = new Agent({ connect: { ca }, bodyTimeout: 0 });
  const stop = new AbortController();
  t.after(async () => {
    stop.abort();
    await dispatcher.destroy();
  });
  const answer = await fetch(`${url}/api/events/stream`, {
    headers: { authorization: `Bearer ${token}` },
    signal: stop.signal,
    dispatcher,
  });
  if (answer.status !== 200 || answer.body === null) throw new Error(`no stream: ${answer.status}`);
  let text = '';
  const decoder = new TextDecoder();
  void (async () => {
    for await (const piece of answer.body ?? []) text += decoder.decode(piece as Uint8Array, { stream: true });
  })().catch(() => {});
  return { text: () => text };
}

function runCli(words: readonly string[], environment: Record<string, string>): Promise<string> {
  const env = { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent', ...environment };
  return new Promise((resolve) => {
    execFile(process.execPath, [cli, ...words], { env, timeout: 30_000 }, (_error, out, talk) => {
      resolve(`${out}\n${talk}\n`);
    });
  });
}
