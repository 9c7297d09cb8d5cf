// The TPM of the demo: what is said where it cannot be made. With its programs it is started in tests/e2e/attestation.test.ts.
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { systemClock } from '#contracts/deps.ts';
import { demoTpm, freeTpmPorts, tpmArguments } from '#start/tpm.ts';

describe('the TPM of the demo', () => {
  it('says which packages it needs where they are missing, and leaves nothing behind', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'sentinel-no-tpm-'));
    t.after(() => rm(folder, { recursive: true }));
    await assert.rejects(
      demoTpm(join(folder, 'tpm'), { PATH: folder }, systemClock),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'service.unavailable');
        assert.match(error.message, /needs swtpm, .*apt-get install swtpm swtpm-tools tpm2-tools/);
        return true;
      },
    );
    assert.deepEqual(await readdir(folder), []);
  });

  it('listens on this machine only, on two ports that follow each other', async () => {
    const port = await freeTpmPorts();
    const text = tpmArguments('/home/tpm/state', port).join(' ');
    assert.match(text, new RegExp(`--server type=tcp,port=${port},bindaddr=127.0.0.1`));
    assert.match(text, new RegExp(`--ctrl type=tcp,port=${port + 1},bindaddr=127.0.0.1`));
    assert.match(text, /--tpmstate dir=\/home\/tpm\/state/);
  });
});
