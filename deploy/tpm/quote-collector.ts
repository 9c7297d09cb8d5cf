// A tpm_quote_command over tpm2-tools: a request on standard input, a bundle of tpm_quote_v1 on standard output.
//
// It needs nothing but Node, so that it can be copied to a device as it is.
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const usage = `Usage: node quote-collector.ts --folder DIR [--tcti TCTI] [--chain FILE]

Reads {"device_id", "nonce", "pcr_selection", "credential_activation"?} and prints a quote of this machine's TPM.

  --folder DIR   where its keys are kept, for the agent alone
  --tcti TCTI    the TPM, as tpm2-tools name it (default TPM2TOOLS_TCTI, else what the tools find)
  --chain FILE   certificates between the endorsement certificate and its root (PEM), beside those in the TPM
`;

interface Request {
  readonly nonce: string;
  readonly selection: Readonly<Record<string, readonly number[]>>;
  /** The file that tpm2_activatecredential reads; `null` when there is nothing to activate. */
  readonly credential: Buffer | null;
}

/** What is wrong, in words for who reads the log of the agent. */
class Failure extends Error {}

const bankBytes: Readonly<Record<string, number>> = { sha256: 32, sha384: 48 };
const toolLimitMs = 25_000;
const largestRequestBytes = 64 * 1024;
/** Where a manufacturer puts the certificate of the endorsement key of template L-1 (TCG EK Credential Profile §2.2.1.4). */
const certificateIndex = '0x1c00002';
/** Where it may put those between that and its root, one after the other, over as many as it takes (§2.2.1.5.2). */
const chainIndexes = { first: 0x1c00100, last: 0x1c001ff } as const;
/** As many certificates as Sentinel reads. */
const longestChain = 7;

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`${error instanceof Failure ? error.message : String((error as Error).stack)}\n`);
    process.exitCode = 1;
  },
);

async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: { folder: { type: 'string' }, tcti: { type: 'string' }, chain: { type: 'string' } },
  });
  if (values.folder === undefined) {
    process.stderr.write(usage);
    return 2;
  }
  const request = readRequest(await readInput());
  const folder = resolve(values.folder);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const work = await mkdtemp(join(folder, 'work-'));
  try {
    const bundle = await collect(request, {
      folder,
      work,
      chain: values.chain === undefined ? null : await readFile(values.chain, 'utf8'),
      tool: toolsOf(work, values.tcti ?? process.env['TPM2TOOLS_TCTI']),
    });
    process.stdout.write(`${JSON.stringify(bundle)}\n`);
    return 0;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Runs one of tpm2-tools; the answer is what it prints. */
type Tool = (name: string, ...args: readonly string[]) => Promise<string>;

interface Place {
  readonly folder: string;
  /** Gone at the end, since secrets pass through it. */
  readonly work: string;
  readonly chain: string | null;
  readonly tool: Tool;
}

async function collect({ nonce, selection, credential }: Request, place: Place): Promise<object> {
  const { folder, work, tool } = place;
  await prepareKeys(place);
  const banks = Object.entries(selection).map(([bank, registers]) => `${bank}:${registers.join(',')}`);
  await tool(
    'tpm2_quote',
    ...['-c', join(folder, 'ak.ctx'), '-l', banks.join('+'), '-q', Buffer.from(nonce, 'base64url').toString('hex')],
    ...['-g', 'sha256', '--scheme', 'ecdsa', '-m', join(work, 'quote'), '-s', join(work, 'signature')],
    // The tool reads the values again until they are those that were quoted.
    ...['-o', join(work, 'pcrs'), '-F', 'values'],
  );
  const text = async (path: string): Promise<string> => (await readFile(path)).toString('base64url');
  const certificate = await endorsementCertificate(place);
  const issuers = await endorsementChain(certificate, place);
  const manufacturer = /TPM2_PT_MANUFACTURER:[^"]*value: "([\x20-\x7e]+)"/.exec(
    await tool('tpm2_getcap', 'properties-fixed'),
  );
  return {
    provider: 'tpm_quote_v1',
    nonce,
    quote: await text(join(work, 'quote')),
    signature: await text(join(work, 'signature')),
    pcrs: splitValues(await readFile(join(work, 'pcrs')), selection),
    ak_public: await text(join(folder, 'ak.pub')),
    ek_public: await text(join(folder, 'ek.pub')),
    ...(certificate === null ? {} : { ek_certificate: certificate }),
    ...(issuers.length === 0 ? {} : { endorsement_chain: issuers }),
    ...(manufacturer?.[1] === undefined ? {} : { tpm_manufacturer: manufacturer[1] }),
    ...(credential === null ? {} : { activated_secret: (await activate(credential, place)).toString('base64url') }),
  };
}

/**
 * Endorsement and attestation key. What the TPM was given in an earlier boot it does not know any more: the endorsement
 * key is derived again, the same as ever, and the attestation key loaded from what the TPM wrapped.
 */
async function prepareKeys(place: Place): Promise<void> {
  const { folder, work, tool } = place;
  const at = (name: string): string => join(folder, name);
  const isLoaded = await Promise.all([readFile(at('ak.ctx')), readFile(at('ek.ctx'))])
    .then(() => tool('tpm2_readpublic', '-c', at('ak.ctx'), '-o', join(work, 'seen')))
    .then(
      () => true,
      () => false,
    );
  if (isLoaded) return;
  // Of the TPM that was here before, perhaps.
  for (const name of ['ek.crt', 'ek-chain.pem']) await rm(at(name), { force: true });
  await tool('tpm2_createek', '-G', 'rsa', '-c', at('ek.ctx'), '-u', at('ek.pub'));
  const [publicArea, wrapped] = await Promise.all([
    readFile(at('ak.pub')).catch(() => null),
    readFile(at('ak.priv')).catch(() => null),
  ]);
  if (publicArea !== null && wrapped !== null && (await load(place))) return;
  await tool(
    'tpm2_createak',
    ...['-C', at('ek.ctx'), '-c', at('ak.ctx'), '-G', 'ecc', '-g', 'sha256', '-s', 'ecdsa'],
    ...['-u', join(work, 'ak.pub'), '-r', join(work, 'ak.priv')],
  );
  // Both or, after a loss of power between the two, a pair that does not load, and a new key.
  for (const name of ['ak.priv', 'ak.pub']) await rename(join(work, name), at(name));
}

/** `false` when this TPM did not make the key. */
async function load(place: Place): Promise<boolean> {
  const { folder } = place;
  const files = ['-u', join(folder, 'ak.pub'), '-r', join(folder, 'ak.priv'), '-c', join(folder, 'ak.ctx')];
  try {
    await withEndorsementPolicy(place, (session) =>
      place.tool('tpm2_load', '-C', join(folder, 'ek.ctx'), '-P', session, ...files),
    );
    return true;
  } catch (error) {
    process.stderr.write(`A new attestation key is made: ${(error as Error).message}\n`);
    return false;
  }
}

async function activate(credential: Buffer, place: Place): Promise<Buffer> {
  const { folder, work, tool } = place;
  const [given, opened] = [join(work, 'credential'), join(work, 'secret')];
  await writeFile(given, credential, { mode: 0o600 });
  await withEndorsementPolicy(place, (session) =>
    tool(
      'tpm2_activatecredential',
      ...['-c', join(folder, 'ak.ctx'), '-C', join(folder, 'ek.ctx'), '-i', given, '-o', opened, '-P', session],
    ),
  );
  return readFile(opened);
}

/** The endorsement key may be used by who has the endorsement hierarchy, whose password is empty where nobody set one. */
async function withEndorsementPolicy<T>({ work, tool }: Place, use: (session: string) => Promise<T>): Promise<T> {
  const session = join(work, 'session.ctx');
  await tool('tpm2_startauthsession', '--policy-session', '-S', session);
  try {
    await tool('tpm2_policysecret', '-S', session, '-c', 'e');
    return await use(`session:${session}`);
  } finally {
    await tool('tpm2_flushcontext', session).catch(() => '');
  }
}

/** PEM; `null` when the manufacturer put none into the TPM. */
async function endorsementCertificate({ folder, work, tool }: Place): Promise<string | null> {
  const kept = join(folder, 'ek.crt');
  const bytes = await readFile(kept).catch(() => null);
  if (bytes !== null) return toPem(bytes);
  const read = join(work, 'ek.crt');
  const isThere = await tool('tpm2_nvread', certificateIndex, '-o', read).then(
    () => true,
    () => false,
  );
  if (!isThere) return null;
  await rename(read, kept);
  return toPem(await readFile(kept));
}

/** What stands between the endorsement certificate and its root, as the operator gives it and as the TPM has it. */
async function endorsementChain(certificate: string | null, { chain, ...place }: Place): Promise<string[]> {
  const given = chain === null ? [] : certificatesIn(chain);
  const inTpm = certificate === null ? [] : certificatesIn(await chainInTpm(place).catch(unreadable));
  if (certificate === null || inTpm.length === 0) return given;
  // A TPM may have the certificates of several of its keys, and Sentinel takes no more than a path needs.
  const others = [...given, ...inTpm].map((pem) => new X509Certificate(pem));
  const path: X509Certificate[] = [];
  let last = new X509Certificate(certificate);
  for (;;) {
    const issuer = others.find((other) => !path.includes(other) && last.checkIssued(other));
    if (issuer === undefined || path.length === longestChain) return path.map(String);
    path.push(issuer);
    last = issuer;
  }
}

/** A quote is worth something without it, too. */
function unreadable(error: Error): string {
  process.stderr.write(`The certificates in the TPM cannot be read: ${error.message}\n`);
  return '';
}

/** PEM; it is kept, since reading it takes a while and it stays the same. */
async function chainInTpm({ folder, work, tool }: Omit<Place, 'chain'>): Promise<string> {
  const kept = join(folder, 'ek-chain.pem');
  const known = await readFile(kept, 'utf8').catch(() => null);
  if (known !== null) return known;
  const listed = await tool('tpm2_getcap', 'handles-nv-index');
  const indexes = (listed.match(/0x[0-9A-F]+/gi) ?? [])
    .map(Number)
    .filter((index) => index >= chainIndexes.first && index <= chainIndexes.last)
    .toSorted((a, b) => a - b);
  const read = join(work, 'ek-chain');
  const parts: Buffer[] = [];
  for (const index of indexes) {
    await tool('tpm2_nvread', `0x${index.toString(16)}`, '-o', read);
    parts.push(await readFile(read));
  }
  const text = certificatesOf(Buffer.concat(parts)).map(toPem).join('');
  await writeFile(`${read}.pem`, text);
  await rename(`${read}.pem`, kept);
  return text;
}

/** The certificates in these bytes; makers of TPMs put other things between them, too. */
function certificatesOf(bytes: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at + 4 <= bytes.length;) {
    const end = bytes.readUInt16BE(at) === 0x3082 ? at + 4 + bytes.readUInt16BE(at + 2) : 0;
    const der = bytes.subarray(at, end);
    const isCertificate = end > at && end <= bytes.length && canRead(der);
    if (isCertificate) found.push(der);
    at = isCertificate ? end : at + 1;
  }
  return found;
}

function canRead(der: Buffer): boolean {
  try {
    return new X509Certificate(der).raw.length === der.length;
  } catch {
    return false;
  }
}

/** The index may be larger than the certificate, which says itself how long it is. */
function toPem(bytes: Buffer): string {
  const der = bytes[0] === 0x30 && bytes[1] === 0x82 ? bytes.subarray(0, bytes.readUInt16BE(2) + 4) : bytes;
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}

function certificatesIn(pem: string): string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g) ?? [];
}

/** Values one after the other: bank after bank, registers ascending. */
function splitValues(bytes: Buffer, selection: Request['selection']): Record<string, Record<string, string>> {
  const values: Record<string, Record<string, string>> = {};
  let offset = 0;
  for (const [bank, registers] of Object.entries(selection)) {
    const size = bankBytes[bank] ?? 0;
    for (const register of registers) {
      (values[bank] ??= {})[register] = bytes.toString('hex', offset, offset + size);
      offset += size;
    }
  }
  if (offset !== bytes.length) throw new Failure('The TPM has other registers than those that are asked for.');
  return values;
}

function toolsOf(work: string, tcti: string | undefined): Tool {
  const run: Tool = (name, ...args) =>
    new Promise((settle, reject) => {
      const environment = tcti === undefined ? process.env : { ...process.env, TPM2TOOLS_TCTI: tcti };
      const limits = { cwd: work, env: environment, timeout: toolLimitMs, maxBuffer: 1024 * 1024 };
      execFile(name, [...args], limits, (error, output, errors) => {
        if (error === null) settle(output);
        else if ((error as NodeJS.ErrnoException).code === 'ENOENT')
          reject(new Failure(`${name} is not installed: it is in the package tpm2-tools.`));
        else reject(new Failure(`${name} failed: ${errors.trim().split('\n').slice(-4).join(' | ')}`));
      });
    });
  // A simulated TPM has no resource manager: what stays in it takes up one of its three places.
  const mustFlush = /^(swtpm|mssim)\b/.test(tcti ?? '');
  return async (name, ...args) => {
    try {
      return await run(name, ...args);
    } finally {
      if (mustFlush && name !== 'tpm2_flushcontext') await run('tpm2_flushcontext', '-t').catch(() => '');
    }
  };
}

async function readInput(): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > largestRequestBytes) throw new Failure('The request is too large.');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** Everything of it goes on to programs as arguments, so nothing else than what it should be gets through. */
function readRequest(text: string): Request {
  const { nonce, pcr_selection, credential_activation: given } = parseObject(text);
  const selection = Object.entries(Object(pcr_selection) as Record<string, unknown>);
  const isRegister = (register: unknown): boolean =>
    typeof register === 'number' && Number.isInteger(register) && register >= 0 && register < 24;
  const isGood = selection.every(
    ([bank, registers]) =>
      Object.hasOwn(bankBytes, bank) && Array.isArray(registers) && registers.length > 0 && registers.every(isRegister),
  );
  if (typeof nonce !== 'string' || !/^[A-Za-z0-9_-]{43}$/.test(nonce) || selection.length === 0 || !isGood)
    throw new Failure('The request has no nonce or no selection of registers.');
  return {
    nonce,
    selection: Object.fromEntries(
      (selection as [string, number[]][]).map(([bank, registers]) => [bank, registers.toSorted((a, b) => a - b)]),
    ),
    credential: given === undefined || given === null ? null : credentialFile(Object(given) as Record<string, unknown>),
  };
}

function credentialFile({ credential_blob, encrypted_secret }: Record<string, unknown>): Buffer {
  const parts = [credential_blob, encrypted_secret];
  if (!parts.every((part) => typeof part === 'string' && /^[A-Za-z0-9_-]{2,4096}$/.test(part)))
    throw new Failure('The credential of the request is not base64url.');
  const structures = (parts as string[]).map((part) => Buffer.from(part, 'base64url'));
  return Buffer.concat([Buffer.from('badcc0de00000001', 'hex'), ...structures]);
}

function parseObject(text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    throw new Failure('The request is not JSON.');
  }
}
