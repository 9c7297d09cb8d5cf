// Who can reach what: listeners, certificates, the proxy, the database and Temporal.
import { BlockList, isIP } from 'node:net';
import { dirname, relative, resolve } from 'node:path';
import type { SettingName } from '#contracts/settings.ts';
import { type Check, error, type Finding, warning, weakness } from './finding.ts';

export function checkNetwork(check: Check): Finding[] {
  return [
    ...listeners(check),
    ...certificates(check),
    ...proxy(check),
    ...database(check),
    ...temporal(check),
    ...traces(check),
  ];
}

function listeners(check: Check): Finding[] {
  const { SENTINEL_HOST: host, SENTINEL_PUBLIC_URL: publicUrl } = check.settings;
  const findings: Finding[] = [];
  if (isEveryAddress(host) && check.settings.SENTINEL_HTTP_PORT !== undefined) {
    const advice = 'Set SENTINEL_HOST=127.0.0.1, so that every request passes the proxy.';
    findings.push(weakness(check, 'SENTINEL_HOST', 'lets people reach the API beside the proxy', advice));
  } else if (isEveryAddress(host)) {
    findings.push(warning('SENTINEL_HOST', 'listens on every address of the machine', 'Name the one that people use.'));
  }
  if (publicUrl !== undefined && !(URL.canParse(publicUrl) && new URL(publicUrl).protocol === 'https:'))
    findings.push(
      error('SENTINEL_PUBLIC_URL', 'is not an https address', 'Browsers keep the sign-in cookie only over https.'),
    );
  if (!check.settings.SENTINEL_REQUIRE_DEVICE_MTLS && !isLoopback(host))
    findings.push(
      error('SENTINEL_HOST', 'is not loopback although devices need no certificate', 'Set SENTINEL_HOST=127.0.0.1.'),
    );
  return findings;
}

const otherFiles = ['SENTINEL_ADMIN_USERS_FILE', 'SENTINEL_DEVICE_CERTIFICATE_ISSUER_PATH'] as const;
const serverFiles = ['SENTINEL_TLS_CERT', 'SENTINEL_TLS_KEY', 'SENTINEL_TLS_CA'] as const;

function certificates(check: Check): Finding[] {
  const { settings } = check;
  const absent = serverFiles.filter((name) => settings[name] === undefined);
  const findings =
    absent.length === 3 || absent.length === 0
      ? []
      : absent.map((name) => error(name, 'is absent', 'Set all three of SENTINEL_TLS_CERT, _KEY and _CA, or none.'));
  if (absent.length === 3)
    findings.push(
      weakness(
        check,
        'SENTINEL_TLS_CA',
        'is absent, so the development authority is used, whose key lies on this disk',
        'Set SENTINEL_TLS_CERT, _KEY and _CA.',
      ),
    );
  for (const name of [...serverFiles, ...temporalFiles, ...otherFiles] as const) {
    const path = settings[name];
    if (path !== undefined && check.files.look(path)?.kind !== 'file')
      findings.push(error(name, 'names no file', 'Correct the path.'));
  }
  const secretFiles = [
    'SENTINEL_TLS_KEY',
    'SENTINEL_TEMPORAL_TLS_KEY',
    'SENTINEL_AUDIT_SIGNING_KEY_PATH',
    'SENTINEL_ADMIN_USERS_FILE',
  ] as const;
  return [...findings, ...secretFiles.flatMap((name) => exposedFile(check, name, settings[name]))];
}

/** A secret in a file is for one user, and not part of the program. */
export function exposedFile(check: Check, name: SettingName, path: string | undefined): Finding[] {
  if (path === undefined) return [];
  const findings: Finding[] = [];
  const mode = check.files.look(path)?.mode ?? 0;
  if ((mode & 0o077) !== 0) findings.push(weakness(check, name, 'can be read by other users', `chmod 600 ${path}`));
  const { programDirectory } = check;
  if (
    check.production &&
    programDirectory !== undefined &&
    !relative(programDirectory, resolve(dirname(path))).startsWith('..')
  )
    findings.push(error(name, 'lies inside the folder of the program', 'Keep keys outside the repository.'));
  return findings;
}

const turnOn = 'Set SENTINEL_TRUST_PROXY_CERT_HEADERS=true.';

function proxy(check: Check): Finding[] {
  const { settings, expectProxyCertHeaders } = check;
  const trusts = settings.SENTINEL_TRUST_PROXY_CERT_HEADERS;
  const findings: Finding[] = [];
  if (expectProxyCertHeaders) {
    if (!trusts)
      findings.push(
        error('SENTINEL_TRUST_PROXY_CERT_HEADERS', 'is off, so devices behind the proxy are refused', turnOn),
      );
    if (settings.SENTINEL_HTTP_PORT === undefined)
      findings.push(
        error(
          'SENTINEL_HTTP_PORT',
          'is absent, so the proxy has nothing to forward to',
          'Set it, for example to 8000.',
        ),
      );
    if (settings.SENTINEL_PORT !== 0 && !isLoopback(settings.SENTINEL_HOST))
      findings.push(
        error(
          'SENTINEL_HOST',
          'lets devices reach the API beside the proxy',
          'Set SENTINEL_HOST=127.0.0.1 or SENTINEL_PORT=0.',
        ),
      );
  }
  if (trusts || expectProxyCertHeaders) findings.push(...trustedAddresses(settings.SENTINEL_TRUSTED_PROXY_ADDRESSES));
  else if (settings.SENTINEL_PROXY_SHARED_SECRET !== undefined)
    findings.push(warning('SENTINEL_PROXY_SHARED_SECRET', 'has no effect while header trust is off', turnOn));
  return findings;
}

function trustedAddresses(addresses: readonly string[]): Finding[] {
  const name = 'SENTINEL_TRUSTED_PROXY_ADDRESSES';
  const advice = 'Name the addresses of the proxy, one by one.';
  if (addresses.length === 0) return [error(name, 'is empty, so no proxy is trusted', advice)];
  return addresses.flatMap((address) => {
    if (isEveryAddress(address)) return [error(name, `trusts everybody, by ${address}`, advice)];
    // Ranges are no addresses: every machine in one could speak for every device.
    return isIP(address) === 0 ? [error(name, `holds ${address}, which is not one address`, advice)] : [];
  });
}

function database(check: Check): Finding[] {
  const name = 'SENTINEL_DATABASE_URL';
  const text = check.settings.SENTINEL_DATABASE_URL;
  if (text === undefined)
    return check.production
      ? [
          warning(
            name,
            'is absent, so the embedded PostgreSQL holds everything',
            'See to backups of SENTINEL_HOME, or name a server.',
          ),
        ]
      : [];
  if (!/^postgres(ql)?:\/\//.test(text) || !URL.canParse(text))
    return [error(name, 'is not a PostgreSQL address', 'Say postgresql://user:password@host:port/database.')];
  const url = new URL(text);
  if (isLoopback(url.hostname) || url.searchParams.get('sslmode') === 'verify-full') return [];
  return [weakness(check, name, 'does not verify the server', 'Add ?sslmode=verify-full&sslrootcert=PATH.')];
}

const temporalFiles = ['SENTINEL_TEMPORAL_TLS_CA', 'SENTINEL_TEMPORAL_TLS_CERT', 'SENTINEL_TEMPORAL_TLS_KEY'] as const;

function temporal(check: Check): Finding[] {
  const { settings } = check;
  const name = 'SENTINEL_TEMPORAL_ADDRESS';
  const address = settings.SENTINEL_TEMPORAL_ADDRESS;
  const hasCertificate = settings.SENTINEL_TEMPORAL_TLS_CERT !== undefined;
  const findings: Finding[] = [];
  if (hasCertificate !== (settings.SENTINEL_TEMPORAL_TLS_KEY !== undefined))
    findings.push(
      error('SENTINEL_TEMPORAL_TLS_CERT', 'and SENTINEL_TEMPORAL_TLS_KEY belong together', 'Set both or none.'),
    );
  if (address === undefined) {
    const advice = 'Name a Temporal frontend that demands mTLS and authorizes who calls.';
    return [
      ...findings,
      ...(check.production ? [error(name, 'is absent, and the embedded Temporal authorizes nobody', advice)] : []),
    ];
  }
  const port = /:(\d{1,5})$/.exec(address)?.[1];
  if (port === undefined)
    return [...findings, error(name, 'is not host:port', 'Say, for example, temporal.example.com:7233.')];
  const encrypted =
    settings.SENTINEL_TEMPORAL_TLS_CA !== undefined ||
    settings.SENTINEL_TEMPORAL_API_KEY !== undefined ||
    hasCertificate;
  if (!encrypted && !isLoopback(address.slice(0, -port.length - 1)))
    findings.push(
      error(name, 'is reached without encryption', 'Set SENTINEL_TEMPORAL_TLS_CA, or SENTINEL_TEMPORAL_API_KEY.'),
    );
  else if (!hasCertificate && settings.SENTINEL_TEMPORAL_API_KEY === undefined)
    findings.push(
      weakness(
        check,
        'SENTINEL_TEMPORAL_TLS_CERT',
        'is absent, so Temporal does not know who calls',
        'Set SENTINEL_TEMPORAL_TLS_CERT and _KEY.',
      ),
    );
  return findings;
}

function traces({ settings }: Check): Finding[] {
  const name = 'SENTINEL_TRACES_ENDPOINT';
  const text = settings.SENTINEL_TRACES_ENDPOINT;
  if (text === undefined) return [];
  const url = URL.parse(text);
  const advice = 'Say, for example, https://collector.example/v1/traces.';
  if (url === null || !['http:', 'https:'].includes(url.protocol))
    return [error(name, 'is not an https address', advice)];
  const isListed = isAmong(url.hostname, settings.SENTINEL_OUTBOUND_ALLOWED_PRIVATE_ADDRESSES);
  if (url.protocol === 'http:' && !isLoopback(url.hostname) && !isListed)
    return [
      error(
        name,
        'sends in clear what is nobody else’s, so API, worker and sealer do not start',
        'Use https, or list the address in SENTINEL_OUTBOUND_ALLOWED_PRIVATE_ADDRESSES.',
      ),
    ];
  // A collector at / takes nothing: the path is not added by us.
  return url.pathname === '/' ? [warning(name, 'names no path', advice)] : [];
}

/** Whether an address, which is no name, is one of these or in one of these ranges. */
function isAmong(host: string, addresses: readonly string[]): boolean {
  const listed = new BlockList();
  for (const entry of addresses) {
    const [address = '', bits] = entry.split('/');
    const family = isIP(address);
    const most = family === 4 ? 32 : 128;
    const prefix = Number(bits ?? most);
    if (family === 0 || !(prefix >= 0 && prefix <= most)) continue;
    listed.addSubnet(address, prefix, family === 4 ? 'ipv4' : 'ipv6');
  }
  const address = host.replace(/^\[(.*)\]$/, '$1');
  const family = isIP(address);
  return family !== 0 && listed.check(address, family === 4 ? 'ipv4' : 'ipv6');
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

function isLoopback(host: string): boolean {
  const address = host.replace(/^\[(.*)\]$/, '$1');
  const family = isIP(address);
  return family === 0 ? address === 'localhost' : loopback.check(address, family === 4 ? 'ipv4' : 'ipv6');
}

function isEveryAddress(host: string): boolean {
  return /^(\*|0(\.0){0,3}|\[?[0:]*::[0:]*\]?)$/.test(host) && host !== '';
}
