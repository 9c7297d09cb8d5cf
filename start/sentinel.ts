// A whole Sentinel on one machine, from its home to its console: what is started, in which order, and with which settings.
import { readFileSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Clock, Random } from '#contracts/deps.ts';
import type { Instance } from '#contracts/instance.ts';
import { TrustError } from '#contracts/problems.ts';
import type { SettingName, Settings } from '#contracts/settings.ts';
import { profileOf } from '#agent/fleet/profiles.ts';
import { createDevelopmentCa } from '#protocols/development-ca.ts';
import { temporalConnection } from '#protocols/temporal-connection.ts';
import { migrate, prepareLogins } from '#store/migrate.ts';
import { buildDocsSite } from '#tools/docs-site/build.ts';
import { type Accounts, keepAccounts } from './accounts.ts';
import { addressesOf, requirePorts } from './addresses.ts';
import { environmentOf, type SettingTexts, systemEnvironment } from './child-settings.ts';
import { buildConsole } from './console-build.ts';
import { type HeldHome, holdHome } from './home.ts';
import { identify } from '#host/identity.mjs';
import { openLogFile } from './log-file.ts';
import type { SpawnPart } from './part.ts';
import { ownerUrl, postgresPart } from './postgres.ts';
import { replaceFile } from './private-file.ts';
import type { Progress } from './progress.ts';
import { databaseLogins, keepSecrets, type Secrets } from './secrets.ts';
import { apiPart, fleetPart, sealerPart, workerPart } from './servers.ts';
import { createSupervisor, type Supervisor } from './supervisor.ts';
import { prepareExternalTemporal, temporalPart, uiPublicPath } from './temporal.ts';
import { findTemporalProgram } from './temporal-program.ts';
import type { Timers } from './timers.ts';
import { demoTpm } from './tpm.ts';

export interface SentinelOptions {
  readonly settings: Settings;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Simulated devices; 0 = none. */
  readonly devices: number;
  /** Whether the first of them has a TPM. */
  readonly tpm: boolean;
  /** The folder of the clone. */
  readonly root: string;
}

export interface SentinelDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly timers: Timers;
  readonly spawn: SpawnPart;
  readonly progress: Progress;
}

export interface Sentinel {
  /** Resolves when everything serves and `instance.json` is there. */
  start(): Promise<{
    readonly instance: Instance;
    readonly approvers: readonly string[];
    readonly tpm: { readonly deviceId: string; readonly change: string } | null;
  }>;
  /** Rejects when a part is given up. */
  readonly failed: Promise<never>;
  /** Ends everything, also a start that is under way. */
  stop(): Promise<void>;
}

export function createSentinel(options: SentinelOptions, deps: SentinelDeps): Sentinel {
  const { settings, environment, devices, root } = options;
  const { progress } = deps;
  const addresses = addressesOf(settings);
  let home: HeldHome | null = null;
  let instance: Omit<Instance, 'pids'> | null = null;
  let pids: Readonly<Record<string, number>> = {};
  const stopping = new AbortController();
  let docsSite: Promise<void> = Promise.resolve();

  const supervisor: Supervisor = createSupervisor({
    ...deps,
    report: progress,
    openLog: (part) => openLogFile(join(requireHome().logs, `${part.name.toLowerCase()}.log`)),
    async onChange(running) {
      pids = Object.fromEntries(Object.entries(running).map(([name, pid]) => [name.toLowerCase(), pid]));
      await requireHome().recordProcesses(Object.values(pids).flatMap((pid) => identify(pid) ?? []));
      await writeInstance();
    },
  });

  function requireHome(): HeldHome {
    if (home === null) throw new TypeError('the home is taken before anything is started');
    return home;
  }

  async function writeInstance(): Promise<void> {
    if (instance === null || stopping.signal.aborted) return;
    const content = { ...instance, pids: { supervisor: process.pid, ...pids } } satisfies Instance;
    await replaceFile(requireHome().instanceFile, `${JSON.stringify(content, null, 2)}\n`);
  }

  async function start(): ReturnType<Sentinel['start']> {
    home = await holdHome(settings.SENTINEL_HOME);
    const secrets = await keepSecrets(home, settings, deps.random);
    const accounts = await keepAccounts(home, settings, devices > 0, deps.random);
    const { tls, usual } = await chooseAuthority(home);
    await requirePorts(settings);

    // None of these waits for another: the database's first start, installing Temporal, and building the console.
    const console = progress.during('Console', () =>
      buildConsole(root, systemEnvironment(environment), stopping.signal),
    );
    console.catch(() => {});
    const [databaseUrl, , tpm] = await Promise.all([
      startDatabase(home, secrets),
      startTemporal(home),
      options.tpm ? startTpm(home) : null,
    ]);
    const unlessSet = { ...usual, ...tpm?.settings };
    await startServers({ home, secrets, accounts, tls, databaseUrl, unlessSet }, console);
    if (devices > 0) {
      const fleet = fleetPart(fleetEnvironment(home, tls.SENTINEL_TLS_CA), devices, tpm?.fleetFile ?? null);
      await supervisor.start([fleet]);
    }
    instance = {
      api_url: addresses.apiUrl,
      console_url: `${addresses.publicUrl}/`,
      temporal_address: temporal().address,
      temporal_namespace: settings.SENTINEL_TEMPORAL_NAMESPACE,
      temporal_ui_url: `${addresses.publicUrl}${uiPublicPath}/`,
      database_url: databaseUrl,
      ca_file: tls.SENTINEL_TLS_CA,
      admin_username: accounts.adminUsername,
      admin_password_file: accounts.adminPasswordFile,
    };
    await writeInstance();
    docsSite = renewDocsSite();
    return { instance: { ...instance, pids }, approvers: accounts.approvers, tpm };
  }

  /** Nobody waits for the documentation; what cannot be built is as it was. */
  async function renewDocsSite(): Promise<void> {
    try {
      await buildDocsSite({
        root,
        environment: systemEnvironment(environment),
        signal: stopping.signal,
        say: () => {},
        mayInstall: false,
      });
    } catch {
      if (stopping.signal.aborted) return;
      progress.note('The documentation at /docs is an older one. To see why: npm run build-docs-site');
    }
  }

  type Tls = Record<'SENTINEL_TLS_CERT' | 'SENTINEL_TLS_KEY' | 'SENTINEL_TLS_CA', string>;

  /** What devices and servers are known by, and what is said of it where no setting does. */
  interface Authority {
    readonly tls: Tls;
    readonly usual: SettingTexts;
  }

  async function chooseAuthority({ ca }: HeldHome): Promise<Authority> {
    const { SENTINEL_TLS_CERT, SENTINEL_TLS_KEY, SENTINEL_TLS_CA } = settings;
    if (SENTINEL_TLS_CERT !== undefined && SENTINEL_TLS_KEY !== undefined && SENTINEL_TLS_CA !== undefined) {
      return {
        tls: {
          SENTINEL_TLS_CERT: resolve(SENTINEL_TLS_CERT),
          SENTINEL_TLS_KEY: resolve(SENTINEL_TLS_KEY),
          SENTINEL_TLS_CA: resolve(SENTINEL_TLS_CA),
        },
        usual: {},
      };
    }
    if ([SENTINEL_TLS_CERT, SENTINEL_TLS_KEY, SENTINEL_TLS_CA].some((given) => given !== undefined)) {
      throw new TrustError('request.invalid', {
        detail: 'SENTINEL_TLS_CERT, SENTINEL_TLS_KEY, SENTINEL_TLS_CA: set all three or none',
      });
    }
    const { file } = await (await createDevelopmentCa(ca, deps)).publishList();
    return {
      tls: {
        SENTINEL_TLS_CERT: join(ca, 'server.crt'),
        SENTINEL_TLS_KEY: join(ca, 'server.key'),
        SENTINEL_TLS_CA: join(ca, 'ca.crt'),
      },
      // Behind a proxy a list asks for headers that not every proxy sends: whoever wants it there, says so.
      usual: settings.SENTINEL_TRUST_PROXY_CERT_HEADERS ? {} : { SENTINEL_DEVICE_CERTIFICATE_CRL_PATHS: file },
    };
  }

  async function findTemporal({ tools }: HeldHome): Promise<string> {
    const toolsDirs = [tools, join(root, '.sentinel', 'tools')] as const;
    const say = (what: string): void => {
      progress.note(`Temporal … ${what}`);
      progress.starting('Temporal');
    };
    return (await findTemporalProgram({ toolsDirs, environment, say, signal: stopping.signal })).path;
  }

  /** @returns the owner's address */
  async function startDatabase({ postgres }: HeldHome, secrets: Secrets): Promise<string> {
    const embedded = {
      dataDir: postgres,
      port: settings.SENTINEL_DATABASE_PORT,
      password: secrets.databaseOwnerPassword,
      superuserPassword: secrets.databaseSuperuserPassword,
    };
    const url = settings.SENTINEL_DATABASE_URL ?? ownerUrl(embedded);
    if (settings.SENTINEL_DATABASE_URL === undefined) await supervisor.start([await postgresPart(embedded)]);
    await progress.during('Schema', async () => {
      await migrate(url);
      const logins = Object.entries(databaseLogins).map(([kind, login]) => [
        login,
        secrets.loginPasswords[kind as keyof typeof databaseLogins],
      ]);
      await prepareLogins(url, Object.fromEntries(logins) as Record<string, string>);
    });
    return url;
  }

  async function startTemporal(held: HeldHome): Promise<void> {
    if (settings.SENTINEL_TEMPORAL_ADDRESS !== undefined) {
      return progress.during('Temporal', () =>
        prepareExternalTemporal(temporal(), settings.SENTINEL_TEMPORAL_NAMESPACE),
      );
    }
    await supervisor.start([
      await temporalPart({
        program: await findTemporal(held),
        port: settings.SENTINEL_TEMPORAL_PORT,
        uiPort: settings.SENTINEL_TEMPORAL_UI_PORT,
        codecEndpoint: `${addresses.publicUrl}/api/temporal/codec`,
        namespace: settings.SENTINEL_TEMPORAL_NAMESPACE,
        databaseFile: join(held.temporal, 'temporal.sqlite'),
      }),
    ]);
  }

  async function startTpm(held: HeldHome) {
    const programs = systemEnvironment(environment);
    const { part, tcti, rootFile, chainFile, keysDirectory, baselines } = await progress.during('TPM', () =>
      demoTpm(held.tpm, programs, deps.clock),
    );
    await supervisor.start([part]);
    const { deviceId } = profileOf('demo', 0);
    const collector = join(root, 'deploy', 'tpm', 'quote-collector.ts');
    const fleetFile = join(held.tpm, 'fleet.json');
    const ofDevice = {
      attestation_provider: 'tpm_quote_v1',
      tpm_quote_command: [
        ...[process.execPath, collector, '--folder', keysDirectory, '--tcti', tcti, '--chain', chainFile],
      ],
    };
    await replaceFile(fleetFile, `${JSON.stringify({ [deviceId]: ofDevice }, null, 2)}\n`);
    return {
      deviceId,
      fleetFile,
      change: `tpm2_pcrextend -T ${tcti} 7:sha256=${'11'.repeat(32)}`,
      settings: {
        SENTINEL_ATTESTATION_PROVIDER: 'tpm_quote_v1',
        SENTINEL_ATTESTATION_PCR_BASELINES_JSON: await baselines(),
        SENTINEL_ATTESTATION_REQUIRE_HARDWARE_BINDING: 'true',
        SENTINEL_ATTESTATION_REQUIRE_ENDORSEMENT_CHAIN: 'true',
        SENTINEL_ATTESTATION_TRUSTED_ENDORSEMENT_ROOT_PATHS: rootFile,
      } satisfies SettingTexts,
    };
  }

  function temporal(): ReturnType<typeof temporalConnection> {
    return temporalConnection(settings, readFileSync);
  }

  interface Foundations {
    readonly home: HeldHome;
    readonly secrets: Secrets;
    readonly accounts: Accounts;
    readonly tls: Tls;
    readonly databaseUrl: string;
    /** What the development authority and a demo TPM make of the settings that nobody has set. */
    readonly unlessSet: SettingTexts;
  }

  async function startServers(
    { home: { directory }, secrets, accounts, tls, databaseUrl, unlessSet }: Foundations,
    console: Promise<unknown>,
  ): Promise<void> {
    const common: SettingTexts = {
      ...unlessSet,
      ...ourSettings(environment),
      ...tls,
      ...accounts.settings,
      SENTINEL_HOME: directory,
      SENTINEL_PUBLIC_URL: addresses.publicUrl,
      SENTINEL_SECRET_KEY: secrets.secretKey,
      SENTINEL_JWT_SECRET: secrets.jwtSecret,
      SENTINEL_DATA_ENCRYPTION_KEYS_JSON: secrets.dataKeysJson,
      SENTINEL_DATA_ACTIVE_KEY_ID: secrets.activeDataKeyId,
      SENTINEL_AUDIT_SIGNING_KEY_PATH: secrets.auditSigningKeyPath,
      SENTINEL_TRUST_ASSERTION_SIGNING_PRIVATE_KEY_PATH: secrets.trustAssertionKeyPaths.join(','),
      SENTINEL_TRUST_ASSERTION_ISSUER: settings.SENTINEL_TRUST_ASSERTION_ISSUER ?? addresses.publicUrl,
      SENTINEL_TRUST_ASSERTION_ALLOWED_AUDIENCES: audiences().join(','),
    };
    const environmentFor = (kind: keyof typeof databaseLogins): Record<string, string> =>
      environmentOf(
        kind,
        { ...common, SENTINEL_DATABASE_URL: loginUrl(databaseUrl, databaseLogins[kind], secrets.loginPasswords[kind]) },
        environment,
      );
    const ca = settings.SENTINEL_PORT === 0 ? null : await readFile(tls.SENTINEL_TLS_CA, 'utf8');
    const worker = workerPart(environmentFor('worker'), {
      connection: temporal(),
      namespace: settings.SENTINEL_TEMPORAL_NAMESPACE,
      taskQueue: settings.SENTINEL_TEMPORAL_TASK_QUEUE,
    });
    const sealer = sealerPart(environmentFor('sealer'), { ownerUrl: databaseUrl, login: databaseLogins.sealer });
    const api = apiPart(environmentFor('api'), { url: `${addresses.apiUrl}/api/health/ready`, ca });
    // The API reads the console once, when it starts.
    await Promise.all([supervisor.start([worker, sealer]), console.then(() => supervisor.start([api]))]);
  }

  /** With a demo fleet there is somebody to make assertions for. */
  function audiences(): readonly string[] {
    const given = settings.SENTINEL_TRUST_ASSERTION_ALLOWED_AUDIENCES;
    return given.length === 0 && devices > 0 ? ['demo'] : given;
  }

  function fleetEnvironment({ directory }: HeldHome, ca: string): Record<string, string> {
    const texts = { SENTINEL_HOME: directory, SENTINEL_URL: addresses.deviceUrl, SENTINEL_CA_FILE: ca };
    return environmentOf('fleet', { ...ourSettings(environment), ...texts }, environment);
  }

  async function stop(): Promise<void> {
    stopping.abort();
    if (home === null) return;
    progress.note('Stopping …');
    home.announceStop();
    await rm(home.instanceFile, { force: true });
    await supervisor.stop();
    await docsSite;
    // A change of pids may have been on its way to the disk.
    await rm(home.instanceFile, { force: true });
    await home.release();
  }

  return { start, failed: supervisor.failed, stop };
}

/** The settings as the user wrote them. */
function ourSettings(environment: Readonly<Record<string, string | undefined>>): SettingTexts {
  const given = Object.entries(environment).filter(
    ([name, value]) => name.startsWith('SENTINEL_') && value !== undefined,
  );
  return Object.fromEntries(given) as Partial<Record<SettingName, string>>;
}

/** The same database for another login. */
function loginUrl(databaseUrl: string, login: string, password: string): string {
  const url = new URL(databaseUrl);
  url.username = login;
  url.password = password;
  return url.href;
}
