// The peer: the same heartbeat as a Flask service with an ORM, in a database of its own on the same Postgres.
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { dirname, join } from 'node:path';
import type pg from 'pg';
import { findFreePort } from '#start/ports.ts';
import { installPeer } from '../peers/install.ts';
import { deviceId, type Fleet } from './fleet-names.ts';
import type { Identity } from './generator.ts';
import { addressOf, root, type Api, type Installation } from './installation.ts';

const folder = join(root, 'bench', 'peers', 'flask');
const name = 'flask';

export interface FlaskPeer extends Api {
  readonly database: pg.Pool;
  readonly identities: readonly Identity[];
}

export async function startFlask(installation: Installation, fleet: Fleet, usedCounter: number): Promise<FlaskPeer> {
  const gunicorn = installPeer(name);
  const { postgres, tls, ca } = installation;
  await installation.database('postgres').query(`CREATE DATABASE ${name}`);
  const database = installation.database(name);
  const DATABASE_URL = addressOf(postgres.superuserUrl, { database: name }).replace(
    'postgresql:',
    'postgresql+psycopg:',
  );
  execFileSync(join(dirname(gunicorn), 'python'), ['app.py'], { cwd: folder, env: { DATABASE_URL }, timeout: 30_000 });

  const identities: Identity[] = [];
  for (let index = 0; index < fleet.identities; index += 1) {
    const id = deviceId(fleet, index, 0);
    const { certificatePem, keyPem } = await ca.issueDevice({ deviceId: id });
    const fingerprint = new X509Certificate(certificatePem).fingerprint256.replaceAll(':', '').toLowerCase();
    await database.query(
      `INSERT INTO device (device_id, fingerprint, state, revoked, heartbeat_counter, tags, posture)
       VALUES ($1, $2, 'approved', false, $3, '[]', '{}')`,
      [id, fingerprint, usedCounter],
    );
    identities.push({ certificate: certificatePem, key: keyPem });
  }

  const port = await findFreePort();
  const process = await installation.startServer({
    name: 'Flask',
    port,
    command: gunicorn,
    args: [
      ...['--chdir', folder, '--config', join(folder, 'gunicorn.conf.py'), '--bind', `127.0.0.1:${port}`],
      ...['--certfile', tls.cert, '--keyfile', tls.key, '--ca-certs', tls.ca, 'app:app'],
    ],
    environment: { DATABASE_URL, PYTHONDONTWRITEBYTECODE: '1' },
  });
  return { ...process, url: `https://127.0.0.1:${port}`, database, identities };
}
