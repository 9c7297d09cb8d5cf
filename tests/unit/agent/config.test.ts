// The configuration of the agent: what is taken, what is refused and with which words, and the examples.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { ConfigError, configNames, notYetSupported, parseConfig, type ConfigMistake } from '#agent/config.ts';
import { nearestName } from '#agent/nearest-name.ts';

const least = {
  device_id: 'lab-1',
  server_url: 'https://sentinel.example.com:8443',
  certificate_path: 'device.crt',
  private_key_path: '/secure/device.key',
  state_path: 'state/state.json',
};

const parse = (given: object) => parseConfig(JSON.stringify(given), '/etc/agent');

function mistakesOf(text: string): readonly ConfigMistake[] {
  try {
    parseConfig(text, '/etc/agent');
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.mistakes;
  }
  return assert.fail('it was taken');
}

const mistakesWith = (changes: object) => mistakesOf(JSON.stringify({ ...least, ...changes }));

describe('the configuration of an agent', () => {
  it('takes paths from its own folder, and fills in what is left out', () => {
    const config = parse(least);
    assert.equal(config.certificate_path, '/etc/agent/device.crt');
    assert.equal(config.private_key_path, '/secure/device.key');
    assert.equal(config.state_path, '/etc/agent/state/state.json');
    assert.equal(config.server_ca_path, null);
    assert.deepEqual(config.tags, []);
    assert.equal(config.log_level, 'info');
    assert.deepEqual(Object.keys(config).toSorted(), configNames.toSorted());
  });

  it('takes an empty text for one that is left out', () => {
    assert.deepEqual(parse({ ...least, attestation_private_key_path: '', log_level: '' }), parse(least));
  });

  it('is read with the mark that Windows puts before a text', () => {
    assert.deepEqual(parseConfig(`\uFEFF${JSON.stringify(least)}`, '/etc/agent'), parse(least));
  });

  it('names everything that is missing, with what it is for', () => {
    assert.deepEqual(
      mistakesOf('{}').map(({ key, problem }) => `${key} ${problem}`),
      ['device_id', 'server_url', 'certificate_path', 'private_key_path', 'state_path'].map(
        (key) => `${key} is missing`,
      ),
    );
    assert.ok(mistakesOf('{}').every(({ advice }) => advice.length > 20));
  });

  it('refuses a key that it does not know, and names the one that was probably meant', () => {
    const [mistake, ...rest] = mistakesWith({ attestation_privat_key_path: '' });
    assert.deepEqual(rest, []);
    assert.equal(mistake?.problem, 'is not a key of the configuration');
    assert.match(mistake.advice, /Did you mean attestation_private_key_path\?/);
    assert.match(mistakesWith({ zebra: 1 })[0]?.advice ?? '', /docs\/agent-config\.md/);
  });

  const refused: readonly [change: object, key: string, problem: RegExp][] = [
    [{ device_id: '../up' }, 'device_id', /form/],
    [{ device_id: 7 }, 'device_id', /has to be a text/],
    [{ server_url: 'http://sentinel.example.com' }, 'server_url', /form/],
    [{ server_url: 'https://sentinel.example.com/path' }, 'server_url', /form/],
    [{ server_url: 'https://user:pass@sentinel.example.com' }, 'server_url', /form/],
    [{ certificate_path: ['a'] }, 'certificate_path', /has to be a path/],
    [{ tags: 'lab' }, 'tags', /has to be a list/],
    [{ tags: ['lab', 'not a tag'] }, 'tags', /^\[1\] does not have the form/],
    [{ tags: Array.from({ length: 65 }, (_, index) => `t${index}`) }, 'tags', /more than 64/],
    [{ log_level: 'loud' }, 'log_level', /debug, info, warn or error/],
    [{ attestation_provider: 'magic' }, 'attestation_provider', /signed_measurement_v1 or tpm_quote_v1/],
    [{ update_apply_timeout_seconds: 0 }, 'update_apply_timeout_seconds', /from 1 to 86400/],
    [{ update_apply_timeout_seconds: '60' }, 'update_apply_timeout_seconds', /whole number/],
    [{ tpm_quote_command: 'a b' }, 'tpm_quote_command', /has to be a list/],
    [{ state_path: 'a\0b' }, 'state_path', /NUL/],
  ];
  for (const [change, key, problem] of refused) {
    it(`refuses ${JSON.stringify(change).slice(0, 60)}`, () => {
      const [mistake, ...rest] = mistakesWith(change);
      assert.deepEqual(rest, []);
      assert.equal(mistake?.key, key);
      assert.match(mistake.problem, problem);
    });
  }

  it('shows nothing of what it holds when it is refused, not even a key in the place of a path', () => {
    const secret = '-----BEGIN PRIVATE KEY-----\nc2VjcmV0LXNlY3JldA==\n-----END PRIVATE KEY-----';
    const texts = [
      JSON.stringify({ ...least, private_key_path: secret }),
      JSON.stringify({ ...least, server_url: `https://u:c2VjcmV0LXNlY3JldA==@host` }),
      `{"private_key_path": "c2VjcmV0LXNlY3JldA==" "x"}`,
    ];
    for (const text of texts) assert.doesNotMatch(JSON.stringify(mistakesOf(text)), /c2Vjcm|secret-secret/);
    assert.match(mistakesOf(texts[0] ?? '')[0]?.problem ?? '', /holds a key/);
  });

  it('says that it is no JSON, and on which line a comma is missing', () => {
    assert.match(mistakesOf('{\n  "device_id": "a"\n  "tags": []\n}')[0]?.problem ?? '', /line 3/);
    assert.match(mistakesOf('[]')[0]?.problem ?? '', /not a JSON object/);
    assert.match(mistakesOf('')[0]?.problem ?? '', /not JSON/);
  });

  it('knows which keys are set for what it cannot do yet', () => {
    assert.deepEqual(notYetSupported(parse(least)), []);
    const config = parse({ ...least, attestation_provider: 'tpm_quote_v1', update_apply_command: ['install'] });
    assert.deepEqual(notYetSupported(config), [{ key: 'update_apply_command', feature: 'updates' }]);
  });
});

describe('the examples of a configuration', () => {
  for (const name of ['config.example.json', 'config.windows.example.json', 'config.macos.example.json']) {
    it(`${name} can be copied to agent/config.json, and leaves keys for attestation and updates empty (AG-03, AG-04)`, async () => {
      const text = await readFile(new URL(`../../../agent/${name}`, import.meta.url), 'utf8');
      const config = parseConfig(text, '/etc/agent');
      assert.deepEqual(notYetSupported(config), []);
      for (const key of [
        'attestation_private_key_path',
        'attestation_public_key_path',
        'update_signing_public_key_path',
      ] as const) {
        assert.equal((JSON.parse(text) as Record<string, unknown>)[key], '');
        assert.equal(config[key], null);
      }
    });
  }

  it('is not in the repository itself (AG-03)', async () => {
    const ignored = await readFile(new URL('../../../.gitignore', import.meta.url), 'utf8');
    assert.match(ignored, /^agent\/config\.json$/m);
  });
});

describe('the nearest name', () => {
  it('is the one that is fewest letters away, and none when all are far', () => {
    assert.equal(nearestName('stat_path', configNames), 'state_path');
    assert.equal(nearestName('serverUrl', configNames), 'server_url');
    assert.equal(nearestName('Tags', configNames), 'tags');
    assert.equal(nearestName('completely_different', configNames), null);
    assert.equal(nearestName('x'.repeat(100_000), configNames), null);
  });
});
