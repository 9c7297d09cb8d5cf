// What is needed to sign trust assertions, when anybody is to get one.
import { type Check, error, type Finding, warning } from './finding.ts';
import { exposedFile } from './network.ts';

const keys = 'SENTINEL_TRUST_ASSERTION_SIGNING_PRIVATE_KEY_PATH';
const issuer = 'SENTINEL_TRUST_ASSERTION_ISSUER';
const audiences = 'SENTINEL_TRUST_ASSERTION_ALLOWED_AUDIENCES';

export function checkAssertions(check: Check): Finding[] {
  const { settings } = check;
  const isWanted = settings[audiences].length > 0;
  const findings = settings[keys].flatMap((path) =>
    check.files.look(path)?.kind === 'file'
      ? exposedFile(check, keys, path)
      : [error(keys, `names ${path}, which is no file`, 'Correct the path.')],
  );
  // `npm start` makes a key and knows its address; an installation that others rely on has both of its own.
  if (check.production && isWanted && settings[keys].length === 0)
    findings.push(
      error(
        keys,
        'is absent, so trust assertions are signed with a key made on this machine, or not at all',
        'Make one with: openssl genpkey -algorithm ed25519',
      ),
    );
  if (check.production && isWanted && settings[issuer] === undefined)
    findings.push(
      error(issuer, 'is absent, so verifiers cannot know whom to expect', 'Say the https address that they use.'),
    );
  if (settings[issuer] !== undefined && URL.parse(settings[issuer])?.protocol !== 'https:')
    findings.push(
      warning(
        issuer,
        'is not an https address, so verifiers cannot find the keys by it',
        'Say the https address that they use.',
      ),
    );
  if (!isWanted && settings[keys].length > 0)
    findings.push(warning(audiences, 'is empty, so no trust assertion is made', 'Name the systems that may get one.'));
  if (settings[audiences].some((name) => name.includes('*')))
    findings.push(error(audiences, 'has an asterisk, which stands for nothing but itself', 'Name each system.'));
  return findings;
}
