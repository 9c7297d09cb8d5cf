// Every decoder of what comes from outside, fed with what it never asked for; and that none of them is forgotten here.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { decoders } from '#tests/harness/decoders.ts';
import { fuzz } from '#tests/harness/fuzz.ts';

const root = join(import.meta.dirname, '../..');
/** Enough to find what is easy to find; `npm run test:long` has the rest. */
const budget = { seed: 20_261_126, runs: 200 };

/** Functions that are named like decoders and read nothing from outside, and why. */
const noDecoders: Readonly<Record<string, string>> = {
  'protocols/certificate.ts#readCertificate': 'certificate.ts#parseCertificate, which it is the inside of',
  'protocols/certificate-path.ts#parseAuthorities': 'device-certificate.ts#parseTrustAnchors, and endorsement.ts',
  'protocols/certificate-path.ts#requireValidAt': 'compares the dates of a certificate that was read',
  'protocols/endorsement.ts#requireAllowedManufacturer': 'compares names with a list',
  'protocols/password.ts#verifyUnknownUser': 'verifyPassword with a hash of ours',
  'protocols/secret-key.ts#requireLongKey': 'looks at the length of a key in memory',
  'protocols/pcr.ts#requireSelection': 'looks at what we ask for',
  'protocols/pcr-baselines.ts#requireApproved': 'compares values that were read',
  'api/authorization.ts#requireStatedAccess': 'looks at routes',
  'api/authorization.ts#requirePermission': 'looks at a set of permissions',
  'api/pages.ts#readPage': 'opens its cursor by createCursors',
  'api/same-origin.ts#requireSameOrigin': 'compares a header with two words',
  'api/static-files.ts#readStaticFiles': 'files of our own build',
  'contracts/settings.ts#requireSetting': 'looks whether a setting is there',
  'protocols/crl.ts#requireNotListed': 'looks into lists that were read',
  'api/revocation-list-reader.ts#readLists': 'crl.ts#readRevocationLists, also in a thread',
  'agent/private-file.ts#readIfThere': 'the bytes of a file, for those that decode them',
};

/** Files that decode in the middle of something else: the decoder here that goes through it. */
const within: Readonly<Record<string, string>> = {
  'api/authentication.ts': 'tests/api/hostile-requests.test.ts: the header Authorization and the cookie',
  'api/body.ts': 'tests/api/hostile-requests.test.ts: the media type',
  'api/metrics.ts': 'tests/api/hostile-requests.test.ts: the header Authorization',
  'api/main.ts': 'package.json and a setting, read at the start',
  'agent/facts/fact.ts': 'agent/facts/*: through the facts that use it',
  'client/request.ts': 'client/api-problem.ts#parseProblem, and answers of a server that was verified',
  'api/standings.ts': 'cursors.ts#createCursors: what Temporal named its pages, sealed',
  'api/revocation-list-reader.ts': 'crl.ts#readRevocationLists, also in a thread',
  'api/evidence-judge.ts': 'what its thread answers: nonsense is tried in evidence-judge.test.ts',
  'api/judge-lots.ts': 'what evidence-judge.ts hands over',
  'protocols/development-ca.ts': 'its own files: a damaged one is tried in development-ca.test.ts',
  'protocols/issue-certificate.ts': 'keys of our own making',
  'protocols/issue-revocation-list.ts': 'keys of our own making',
  'agent/preflight/server.ts': 'agent/config.ts#parseConfig: addresses that fit its form',
  'cli/ca.ts': 'a certificate that its user names',
  'cli/connection.ts': 'an address that its user gives',
  'cli/program.ts': 'package.json',
  'cli/preflight/assertions.ts': 'settings: readSettings, and an address in preflight.test.ts',
  'cli/preflight/network.ts': 'settings: readSettings, and addresses in preflight.test.ts',
  'cli/preflight/secrets.ts': 'settings: readSettings, and keys in preflight.test.ts',
  'cli/workflow-link.ts': 'an answer of our API, which is shown and not called',
  'store/checkpoint-files.ts': 'api/checkpoints.ts#readTrustedCheckpoints: what the files hold',
  'store/connection.ts': 'a setting, read at the start',
  'store/reconcile.ts': 'a position that it wrote itself into its own schedule',
  'telemetry/metrics-server.ts': 'the header Authorization, as in api/metrics.ts',
  'worker/bundle.ts': 'a path of its own',
  'worker/kept-bundle.ts': 'a path of its own; a file of its own that is not what was kept is tried in its test',
  'worker/checkpoints.ts': 'protocols/checkpoint.ts#readPublicKeys and verifyCheckpoint',
  // Files of SENTINEL_HOME, which only its owner can change, and programs of ours.
  'start/accounts.ts': 'its own file',
  'start/home.ts': 'its own file',
  'start/postgres-programs.ts': 'a file of a package',
  'start/secrets.ts': 'its own files: damaged ones are tried in secrets.test.ts',
  'start/sentinel.ts': 'a setting, read at the start',
  'start/servers.ts': 'a path of its own',
  'start/temporal-program.ts': 'what its own program prints',
  'store/traced-statements.ts': 'statements of our own',
  'telemetry/traces.ts': 'a setting, read at the start',
};

/** Where functions are looked at one by one, and where only files are. */
const outside = ['protocols', 'api', 'contracts', 'client', 'agent'];
const inside = ['cli', 'store', 'telemetry', 'worker', 'start'];
const sources = [...outside, ...inside]
  .flatMap((folder) => globSync(`${folder}/**/*.ts`, { cwd: root }))
  .filter((file) => !file.startsWith('agent/fleet/'))
  .map((file) => ({ file: file.replaceAll('\\', '/'), text: readFileSync(join(root, file), 'utf8') }));

const namedLikeOne =
  /^export (?:async )?function ((?:parse|read|verify|decode|decrypt|open|require)[A-Z]\w*|decrypt)\b/gm;
const decodes =
  /JSON\.parse\(|Buffer\.from\([^)\n]*, 'base64(?:url)?'\)|decodeURIComponent\(|new X509Certificate\(|createPrivateKey\(|createPublicKey\(|jwtVerify\(|compactDecrypt\(|\.exec\(|new URL\(|URL\.parse\(/;

describe('the decoders of what comes from outside', async () => {
  const cleanup = cleanupAfterAll();
  const all = await decoders(cleanup);

  it('are all tried here: each function that is named like one (SA-22)', () => {
    const found = sources
      .filter(({ file }) => outside.includes(file.split('/')[0] ?? ''))
      .flatMap(({ file, text }) => [...text.matchAll(namedLikeOne)].map(([, name]) => `${file}#${name}`));
    const missing = found.filter((name) => !(name in all) && !(name in noDecoders) && !isStarter(name));
    assert.deepEqual(missing, [], 'give each a fuzz case in tests/harness/decoders.ts');
    const gone = Object.keys(noDecoders).filter((name) => !found.includes(name));
    assert.deepEqual(gone, [], 'these are not there any more');
  });

  it('are all tried here: each file that decodes something (SA-22)', () => {
    const tried = new Set(Object.keys(all).map((name) => name.split('#')[0]));
    const missing = sources
      .filter(({ text }) => decodes.test(text))
      .map(({ file }) => file)
      .filter((file) => !tried.has(file) && !(file in within));
    assert.deepEqual(missing, [], 'give each a fuzz case in tests/harness/decoders.ts');
    const files = new Set(sources.map(({ file }) => file));
    assert.deepEqual(
      Object.keys(within).filter((file) => !files.has(file)),
      [],
      'these are not there any more',
    );
  });

  for (const [name, decoder] of Object.entries(all)) {
    it(`${name} lets nothing out but refusals (SA-22, SA-25)`, () => fuzz(name, decoder, budget));
  }

  it('would be caught letting out anything else, or changing a prototype', async () => {
    const leaking = { decode: (bytes: Buffer) => JSON.parse(bytes.toString()) as unknown, samples: ['{"a":1}'] };
    await assert.rejects(fuzz('leaking', leaking, budget), /leaking let out SyntaxError/);
    const polluting = {
      samples: ['{}'],
      decode: () => Object.defineProperty(Object.prototype, 'polluted', { value: true, configurable: true }),
    };
    try {
      await assert.rejects(fuzz('polluting', polluting, { ...budget, runs: 20 }), /polluting changed a prototype/);
    } finally {
      delete (Object.prototype as { polluted?: unknown }).polluted;
    }
  });
});

/** Connections, listeners and files that are opened, not read. */
function isStarter(name: string): boolean {
  return /#(openConnection|openListeners|openApiRoutes|openSeal)$/.test(name);
}
