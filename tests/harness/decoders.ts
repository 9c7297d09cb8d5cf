// Every decoder of what comes from outside, by file and function, with inputs that it takes: what the fuzzers are run on.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseConfig, readConfig } from '#agent/config.ts';
import { openCounter } from '#agent/counter.ts';
import { parseProfiler, parseRegistry, parseSecureBoot } from '#agent/facts/boot-mode.ts';
import { parseFdesetup, parseProtectionStatus, parseRootMount } from '#agent/facts/disk-encryption.ts';
import { parseOsRelease, parseSwVers, parseWindows } from '#agent/facts/os-version.ts';
import { readIdentity } from '#agent/identity.ts';
import { readDefinition } from '#agent/service/file.ts';
import { openState, readState } from '#agent/state.ts';
import { createCursors } from '#api/cursors.ts';
import { readTrustedCheckpoints } from '#api/checkpoints.ts';
import { createDirectory } from '#api/directory.ts';
import { readAtMost } from '#api/read-file.ts';
import { parseStrictJson } from '#protocols/strict-json.ts';
import { readEnvFile } from '#cli/env-file.ts';
import { openHome } from '#cli/home.ts';
import { parseProblem } from '#client/api-problem.ts';
import { systemClock, systemRandom } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import { readSettings, settings } from '#contracts/settings.ts';
import { readPublicKey, readSignatureAlgorithm } from '#protocols/certificate-algorithms.ts';
import { readExtensionList, readExtensions } from '#protocols/certificate-extensions.ts';
import { parseCertificate } from '#protocols/certificate.ts';
import { parseTrustAnchors, verifyDeviceCertificate } from '#protocols/device-certificate.ts';
import { readPublicKeys, signCheckpoint, verifyCheckpoint, writePublicKeys } from '#protocols/checkpoint.ts';
import { readRevocationLists } from '#protocols/crl.ts';
import { requireCsrfToken } from '#protocols/csrf.ts';
import { decrypt, encrypt, readDataKeys } from '#protocols/data-keys.ts';
import {
  fieldsOf,
  readBits,
  readBoolean,
  readBytes,
  readDer,
  readInteger,
  readOid,
  readTime,
  tags,
} from '#protocols/der.ts';
import { readName } from '#protocols/distinguished-name.ts';
import { verifyPassword } from '#protocols/password.ts';
import { createPayloadCodec, decodeForOperator, type WirePayload } from '#protocols/payload-codec.ts';
import { ocspResponderOf, readOcspAnswer } from '#protocols/ocsp.ts';
import { createOutboundAddresses } from '#protocols/outbound-address.ts';
import { readPem, writePem } from '#protocols/pem.ts';
import { readProxyCertificate } from '#protocols/proxy-headers.ts';
import { readBase64url, readSecretKey } from '#protocols/secret-key.ts';
import { signSessionToken, verifySessionToken } from '#protocols/session-token.ts';
import { readSigningKey, verifyEnvelope } from '#protocols/signed-envelope.ts';
import { temporalConnection } from '#protocols/temporal-connection.ts';
import { verifyTotp } from '#protocols/totp.ts';
import { readAssertionKey, signTrustAssertion, verifyTrustAssertion } from '#protocols/trust-assertion.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import { forgeList } from '#tests/unit/protocols/crl-forge.ts';
import { forgeAuthority, forgeLeaf, now } from '#tests/unit/protocols/certificate-forge.ts';
import { forgeAnswer, statuses } from '#tests/unit/protocols/ocsp-forge.ts';
import { attestationDecoders } from './attestation-decoders.ts';
import type { Cleanup } from './cleanup.ts';
import { ofJson, type Decoder } from './fuzz.ts';

export async function decoders(t: Cleanup): Promise<Readonly<Record<string, Decoder>>> {
  const folder = await mkdtemp(join(tmpdir(), 'sentinel-fuzz-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const authority = await forgeAuthority('Fuzzed CA');
  const leaf = await forgeLeaf(authority);
  const anchors = parseTrustAnchors(authority.certificatePem);
  const der = [...parseDers(authority.certificatePem), ...parseDers(leaf.certificatePem)];
  const pems = [authority.certificatePem, leaf.certificatePem];
  const key = new Uint8Array(randomBytes(32));
  const dataKeys = readDataKeys({ one: randomBytes(32).toString('base64url') }, 'one');
  const keyPair = generateKeyPairSync('ed25519');
  const keyPem = keyPair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const signing = readSigningKey(keyPem);
  const signed = signCheckpoint(
    {
      id: '11111111-1111-4111-8111-111111111111',
      at: '2026-12-01T12:00:00.000Z',
      heads: [{ project_id: 'default', stream: 'audit', sequence: 7, hash: 'ab'.repeat(32) }],
      previous: null,
    },
    signing,
  );
  const envelope = JSON.stringify(signed);
  const verification = readPublicKeys(writePublicKeys(new Map([[signing.keyId, keyPair.publicKey]])));
  const assertion = await signTrustAssertion(
    {
      project: 'default',
      device_id: 'device-1',
      trust_tier: 'monitored',
      approval_state: 'approved',
      retired: false,
      certificate_fingerprint_sha256: null,
    },
    {
      issuer: 'https://a.test',
      audience: 'vpn',
      id: '11111111-1111-4111-8111-111111111111',
      issuedAt: now,
      lifetimeSeconds: 60,
    },
    signing,
  );
  const token = await signSessionToken(
    {
      sessionId: '11111111-1111-4111-8111-111111111111',
      username: 'ann',
      issuedAt: now,
      expiresAt: new Date(now.getTime() + 3_600_000),
    },
    key,
  );
  const cursors = createCursors(key);
  const codec = createPayloadCodec(dataKeys, 'default');
  const context = { type: 'workflow', namespace: 'default', workflowId: 'device/default/x' } as const;
  const [payload] = await codec.encode([{ metadata: {}, data: Buffer.from('{"secret":1}') }], context);
  const wire = JSON.stringify([
    {
      metadata: Object.fromEntries(
        Object.entries(payload?.metadata ?? {}).map(([name, bytes]) => [name, Buffer.from(bytes).toString('base64')]),
      ),
      data: Buffer.from(payload?.data ?? []).toString('base64'),
    },
  ]);
  const sealed = await encrypt(dataKeys, Buffer.from('plain'), { table: 't' });
  const config = JSON.stringify({
    server_url: 'https://sentinel.example:8443',
    device_id: 'device-1',
    certificate_path: 'device.crt',
    private_key_path: 'device.key',
    server_ca_path: 'ca.crt',
    state_path: 'state.json',
  });
  const state = JSON.stringify({ device_id: 'device-1', next_heartbeat_counter: 7 });
  const person = { username: 'ann', password_hash: '$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA' };

  /** For what reads files itself. */
  const inFile =
    (name: string, read: (path: string) => unknown): Decoder['decode'] =>
    async (bytes) => {
      const path = join(folder, name);
      await writeFile(path, bytes);
      return read(path);
    };
  const ofText =
    (read: (text: string) => unknown): Decoder['decode'] =>
    (bytes) =>
      read(bytes.toString());
  const ofDer = (read: (element: ReturnType<typeof readDer>) => unknown): Decoder => ({
    decode: (bytes) => read(readDer(bytes)),
    samples: [...der, ...der.flatMap(elementsIn)],
    refusesWith: ['Malformed'],
  });

  const certificates = { samples: [...der, ...pems] };
  return {
    ...attestationDecoders(inFile),
    'protocols/certificate.ts#parseCertificate': {
      ...certificates,
      decode: (bytes) => [parseCertificateOrPass(bytes), parseCertificateOrPass(bytes.toString())],
    },
    'protocols/device-certificate.ts#parseTrustAnchors': {
      samples: [pems.join('')],
      decode: ofText(parseTrustAnchors),
    },
    'protocols/device-certificate.ts#verifyDeviceCertificate': {
      ...certificates,
      decode: (bytes) => verifyDeviceCertificate({ leaf: parseCertificate(bytes), presentedChain: [], anchors, now }),
    },
    'protocols/certificate-algorithms.ts#readPublicKey': ofDer(readPublicKey),
    'protocols/certificate-algorithms.ts#readSignatureAlgorithm': ofDer(readSignatureAlgorithm),
    'protocols/certificate-extensions.ts#readExtensions': ofDer(readExtensions),
    'protocols/certificate-extensions.ts#readExtensionList': ofDer(readExtensionList),
    'protocols/crl.ts#readRevocationLists': {
      samples: [forgeList(authority), writePem(forgeList(authority), 'X509 CRL')],
      decode: (bytes) => readRevocationLists(bytes, [parseCertificate(authority.certificatePem)]),
    },
    'protocols/checkpoint.ts#verifyCheckpoint': {
      samples: [envelope],
      decode: ofJson((value) => verifyCheckpoint(value, verification)),
    },
    'protocols/checkpoint.ts#readPublicKeys': {
      samples: [writePublicKeys(verification)],
      decode: ofText(readPublicKeys),
    },
    'protocols/ocsp.ts#readOcspAnswer': {
      samples: [
        forgeAnswer({ certificate: leaf, issuer: authority }),
        forgeAnswer({ certificate: leaf, issuer: authority, byKey: true, status: statuses.revoked }),
      ],
      decode: (bytes) =>
        readOcspAnswer(
          bytes,
          {
            certificate: parseCertificate(leaf.certificatePem),
            issuer: parseCertificate(authority.certificatePem),
            nonce: Buffer.alloc(32, 1),
          },
          { now, maxAgeSeconds: 3600 },
        ),
    },
    'protocols/ocsp.ts#ocspResponderOf': {
      ...certificates,
      decode: (bytes) => ocspResponderOf(parseCertificate(bytes)),
    },
    'protocols/outbound-address.ts#createOutboundAddresses': {
      samples: ['10.0.0.0/8', '::1', '192.168.0.1', 'fd00::/8'],
      decode: ofText((text) => createOutboundAddresses([text])),
    },
    'protocols/csrf.ts#requireCsrfToken': {
      samples: ['a'.repeat(43)],
      decode: ofText((text) => requireCsrfToken(text, 'session', key)),
    },
    'protocols/data-keys.ts#readDataKeys': {
      samples: [JSON.stringify({ one: randomBytes(32).toString('base64url') })],
      decode: ofJson((value) => readDataKeys(value, 'one')),
    },
    'protocols/data-keys.ts#decrypt': {
      samples: [sealed],
      decode: ofText((text) => decrypt(dataKeys, text, { table: 't' })),
    },
    'protocols/der.ts#readDer': ofDer((element) => element),
    'protocols/der.ts#readBoolean': ofDer(readBoolean),
    'protocols/der.ts#readInteger': ofDer(readInteger),
    'protocols/der.ts#readOid': ofDer(readOid),
    'protocols/der.ts#readBytes': ofDer(readBytes),
    'protocols/der.ts#readBits': ofDer(readBits),
    'protocols/der.ts#readTime': ofDer(readTime),
    'protocols/distinguished-name.ts#readName': ofDer(readName),
    'protocols/password.ts#verifyPassword': {
      samples: [
        person.password_hash,
        'scrypt:2:1:1$salt$' + '00'.repeat(64),
        'pbkdf2:sha256:2$salt$' + '00'.repeat(32),
      ],
      // Changed digits can make a hash dear.
      share: 0.1,
      decode: ofText((text) => verifyPassword(text, 'password')),
    },
    'protocols/payload-codec.ts#decodeForOperator': {
      samples: [wire],
      // Behind the same reader as on its route.
      decode: (bytes) => {
        const value = parseStrictJson(bytes, { depth: 8, keys: 20_000 });
        return Array.isArray(value) && value.every(isWirePayload)
          ? decodeForOperator(dataKeys, value as WirePayload[], 'default')
          : null;
      },
    },
    'protocols/payload-codec.ts#createPayloadCodec': {
      samples: [Buffer.from(payload?.data ?? [])],
      decode: (bytes) => codec.decode([{ metadata: payload?.metadata ?? {}, data: bytes }], context),
    },
    'protocols/pem.ts#readPem': {
      samples: pems,
      decode: ofText((text) => readPem(text, 'CERTIFICATE', { blocks: 4, bytes: 16_384 })),
      refusesWith: ['Malformed'],
    },
    'protocols/proxy-headers.ts#readProxyCertificate': {
      samples: pems.map(encodeURIComponent),
      decode: ofText((text) =>
        readProxyCertificate([
          'X-SSL-Client-Verify',
          'SUCCESS',
          'X-SSL-Client-Cert',
          text,
          'X-SSL-Client-Serial',
          text,
        ]),
      ),
    },
    'protocols/secret-key.ts#readSecretKey': {
      samples: [randomBytes(32).toString('base64url')],
      decode: ofText((text) => readSecretKey(text, 'SENTINEL_SECRET_KEY')),
    },
    'protocols/secret-key.ts#readBase64url': { samples: ['AAAA', 'AA=='], decode: ofText(readBase64url) },
    'protocols/session-token.ts#verifySessionToken': {
      samples: [token],
      decode: ofText((text) => verifySessionToken(text, key, now)),
    },
    'protocols/signed-envelope.ts#verifyEnvelope': {
      samples: [envelope],
      decode: ofJson((value) => verifyEnvelope('audit.checkpoint', value, verification)),
    },
    'protocols/signed-envelope.ts#readSigningKey': { samples: [keyPem], decode: ofText(readSigningKey) },
    'protocols/temporal-connection.ts#temporalConnection': {
      samples: ['127.0.0.1:7233', '[::1]:7233', 'temporal.example:7233'],
      decode: ofText((text) =>
        temporalConnection({ ...readSettings({}), SENTINEL_TEMPORAL_ADDRESS: text }, () => Buffer.from('')),
      ),
    },
    'protocols/trust-assertion.ts#verifyTrustAssertion': {
      samples: [assertion],
      decode: ofText((text) =>
        verifyTrustAssertion(text, { issuer: 'https://a.test', audience: 'vpn', keys: verification, now }),
      ),
    },
    'protocols/trust-assertion.ts#readAssertionKey': {
      samples: [keyPem, keyPair.publicKey.export({ type: 'spki', format: 'pem' }).toString()],
      decode: ofText(readAssertionKey),
    },
    'api/read-file.ts#readAtMost': {
      samples: ['text'],
      decode: async (bytes) => {
        const path = join(folder, 'read-at-most');
        await writeFile(path, bytes);
        return readAtMost(path, 100, () => new TrustError('request.too_large'));
      },
    },
    'protocols/totp.ts#verifyTotp': {
      samples: ['123456', 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP'],
      decode: ofText((text) => [verifyTotp('A'.repeat(32), text, now), verifyTotp(text, '123456', now)]),
    },
    'protocols/strict-json.ts#parseStrictJson': {
      samples: [JSON.stringify({ device_id: 'device-1', posture: { a: [1, null, 'x\u0000'] } }), envelope],
      decode: (bytes) => parseStrictJson(bytes),
    },
    'api/cursors.ts#createCursors': {
      samples: [cursors.seal(['list'], { id: 'a' })],
      decode: ofText((text) => cursors.open(['list'], text)),
    },
    'api/checkpoints.ts#readTrustedCheckpoints': {
      samples: [envelope],
      share: 0.2,
      decode: ofJson((value) =>
        readTrustedCheckpoints(
          {
            directory: join(folder, 'checkpoints'),
            async *stored() {
              yield value;
            },
            log: fakeLog(),
          },
          { project: 'default', full: false },
        ),
      ),
    },
    'api/directory.ts#createDirectory': {
      samples: [JSON.stringify([{ ...person, roles: ['viewer'] }])],
      share: 0.2,
      decode: inFile('people.json', (file) =>
        createDirectory(
          { list: [], file, single: { username: undefined, passwordHash: undefined } },
          { clock: systemClock, log: fakeLog(), onChange: async () => {} },
        ).all(),
      ),
    },
    'contracts/settings.ts#readSettings': {
      samples: ['true', '7', '{"one":"two"}', 'a,b,c'],
      decode: ofText((text) => readSettings(Object.fromEntries(Object.keys(settings).map((name) => [name, text])))),
    },
    'client/api-problem.ts#parseProblem': {
      samples: [
        JSON.stringify({ type: 'x', title: 't', status: 400, detail: 'd', code: 'request.invalid', errors: [] }),
      ],
      decode: ofText((text) => parseProblem(400, text, null)),
    },
    'agent/config.ts#parseConfig': {
      samples: [config],
      decode: ofText((text) => parseConfig(text, '/etc')),
      refusesWith: ['ConfigError'],
    },
    'agent/config.ts#readConfig': {
      samples: [config],
      decode: ofJson((value) =>
        typeof value === 'object' && value !== null ? readConfig(value as Record<string, unknown>, '/etc') : null,
      ),
      refusesWith: ['ConfigError'],
    },
    'agent/state.ts#readState': {
      samples: [state],
      share: 0.3,
      decode: inFile('state.json', (path) => readState(path, 'device-1')),
      refusesWith: ['FileProblem'],
    },
    'agent/state.ts#openState': {
      samples: [state],
      share: 0.3,
      decode: inFile('open-state.json', (path) => openState(path, 'device-1', systemRandom)),
      refusesWith: ['FileProblem'],
    },
    'agent/counter.ts#openCounter': {
      samples: ['7\n'],
      share: 0.3,
      decode: inFile('counter', (path) => openCounter(path, systemRandom)),
      refusesWith: ['FileProblem', 'Error'],
    },
    'agent/identity.ts#readIdentity': {
      samples: [leaf.certificatePem, leaf.keyPem],
      share: 0.3,
      decode: inFile('identity.pem', (path) =>
        readIdentity({ certificate_path: path, private_key_path: path, server_ca_path: path }),
      ),
      refusesWith: ['FileProblem'],
    },
    'agent/service/file.ts#readDefinition': {
      samples: ['[Unit]\n'],
      share: 0.3,
      decode: inFile('unit', (path) => readDefinition(path, 'utf8')),
      refusesWith: ['FileProblem'],
    },
    'agent/facts/boot-mode.ts#parseSecureBoot': { samples: [Buffer.from([6, 0, 0, 0, 1])], decode: parseSecureBoot },
    'agent/facts/boot-mode.ts#parseProfiler': { samples: ['Secure Boot: Full'], decode: ofText(parseProfiler) },
    'agent/facts/boot-mode.ts#parseRegistry': {
      samples: ['    UEFISecureBootEnabled    REG_DWORD    0x1'],
      decode: ofText((text) => parseRegistry(text, text)),
    },
    'agent/facts/disk-encryption.ts#parseProtectionStatus': { samples: ['1'], decode: ofText(parseProtectionStatus) },
    'agent/facts/disk-encryption.ts#parseFdesetup': { samples: ['FileVault is On.'], decode: ofText(parseFdesetup) },
    'agent/facts/disk-encryption.ts#parseRootMount': {
      samples: ['22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/mapper/root rw\n'],
      decode: ofText(parseRootMount),
    },
    'agent/facts/os-version.ts#parseOsRelease': {
      samples: ['NAME="Debian"\nVERSION_ID="12"\n'],
      decode: ofText(parseOsRelease),
    },
    'agent/facts/os-version.ts#parseSwVers': {
      samples: ['ProductName: macOS\nProductVersion: 15\n'],
      decode: ofText(parseSwVers),
    },
    'agent/facts/os-version.ts#parseWindows': {
      samples: ['    CurrentBuild    REG_SZ    26100'],
      decode: ofText((text) => parseWindows('Windows', text)),
    },
    'cli/env-file.ts#readEnvFile': { samples: ['A=b\nC="d"\n'], share: 0.3, decode: inFile('env', readEnvFile) },
    'cli/home.ts#openHome': {
      samples: ['{"url":"https://localhost","token":"x"}'],
      share: 0.3,
      decode: inFile('cli-session.json', () => openHome(folder).session()),
      refusesWith: ['CliError'],
    },
  };
}

function isWirePayload(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { metadata = {}, data = '' } = value as { metadata?: unknown; data?: unknown };
  const isMap = typeof metadata === 'object' && metadata !== null && !Array.isArray(metadata);
  return isMap && typeof data === 'string' && Object.values(metadata).every((text) => typeof text === 'string');
}

/** A refusal of one form must not hide what the other form does. */
function parseCertificateOrPass(input: Buffer | string): unknown {
  try {
    return parseCertificate(input);
  } catch (error) {
    if ((error as { code?: unknown }).code === undefined) throw error;
    return null;
  }
}

function parseDers(pem: string): Buffer[] {
  return readPem(pem, 'CERTIFICATE', { blocks: 4, bytes: 16_384 });
}

/** All elements that a DER value is made of, as far as they are sequences and sets. */
function elementsIn(bytes: Buffer): Buffer[] {
  const element = readDer(bytes);
  if (element.tag !== tags.sequence && element.tag !== tags.set) return [];
  const fields = fieldsOf(element, element.tag);
  const found: Buffer[] = [];
  for (let field = fields.takeAny(); field !== undefined; field = fields.takeAny()) found.push(field.raw);
  return found.flatMap((raw) => [raw, ...elementsIn(raw)]);
}
