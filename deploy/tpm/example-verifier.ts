// A verifier command for SENTINEL_TPM_QUOTE_VERIFIER_COMMAND, to begin one's own from: what is to be verified comes on
// standard input, and the verdict goes to standard output. It does what the built-in verifier does with the quote itself.
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { TrustError } from '#contracts/problems.ts';
import { parseEndorsementRoots, verifyEndorsement } from '#protocols/endorsement.ts';
import type { PcrSelection, PcrValues } from '#protocols/pcr.ts';
import { readEndorsementKey } from '#protocols/tpm-credential.ts';
import { verifyTpmQuote } from '#protocols/tpm-quote.ts';
import { fail } from '../output.ts';

const usage = `Usage: node deploy/tpm/example-verifier.ts [--roots FILE]

Reads {"device_id", "nonce", "attestation", "policy"} and prints {"valid", "reason"?, "pcrs"?, "hardware_identity"?,
"endorsement_chain"?}.

  --roots FILE  manufacturers (PEM) of which one has to vouch for the TPM; without it any TPM will do
`;

/** What `valid: true` says: the quote is one of these registers, for this nonce, by this TPM. */
interface VerifierAnswer {
  readonly valid: boolean;
  /** A stable word; only when it is not valid. */
  readonly reason?: string;
  readonly pcrs?: PcrValues;
  readonly hardware_identity?: { readonly endorsement_key_id: string };
  /** PEM, the certificate of the endorsement key first: the server judges it by roots of its own too. */
  readonly endorsement_chain?: readonly string[];
}

const largestInputBytes = 512 * 1024;

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  let roots: string | null;
  try {
    const { values } = parseArgs({ args, options: { roots: { type: 'string' } } });
    roots = values.roots === undefined ? null : await readFile(values.roots, 'utf8');
  } catch (error) {
    return fail(`${(error as Error).message}\n\n${usage}`, 2);
  }
  const answer = judge(JSON.parse(await readInput()) as Record<string, unknown>, roots);
  process.stdout.write(`${JSON.stringify(answer)}\n`);
  return 0;
}

function judge({ nonce, attestation, policy }: Record<string, unknown>, roots: string | null): VerifierAnswer {
  try {
    const challenge = { nonce: String(nonce), selection: selectionFor(policy, attestation) };
    const { evidence, pcrs } = verifyTpmQuote({ evidence: attestation, challenge });
    const chain = [...(evidence.ekCertificate === null ? [] : [evidence.ekCertificate]), ...evidence.endorsementChain];
    const key =
      roots === null
        ? evidence.ekPublic === null
          ? null
          : readEndorsementKey(evidence.ekPublic)
        : verifyEndorsement({
            certificate: evidence.ekCertificate,
            chain: evidence.endorsementChain,
            ekPublic: evidence.ekPublic,
            roots: parseEndorsementRoots(roots),
            now: new Date(),
          }).key;
    return {
      valid: true,
      pcrs,
      ...(key === null ? {} : { hardware_identity: { endorsement_key_id: key.id } }),
      ...(chain.length === 0 ? {} : { endorsement_chain: chain }),
    };
  } catch (error) {
    if (!(error instanceof TrustError || error instanceof RangeError)) throw error;
    const reason = error instanceof TrustError ? (error.facts['reason'] ?? error.code) : 'pcr_selection';
    return { valid: false, reason: String(reason) };
  }
}

/** What policy asks for; where it leaves that open, what the device quoted, which the server compares with its baselines. */
function selectionFor(policy: unknown, attestation: unknown): PcrSelection {
  const { pcr_selection } = Object(policy) as { pcr_selection?: PcrSelection };
  if (pcr_selection !== undefined) return pcr_selection;
  const { pcrs } = Object(attestation) as { pcrs?: PcrValues };
  const banks = Object.entries(pcrs ?? {}).map(([bank, values]) => [
    bank,
    Object.keys(Object(values))
      .map(Number)
      .toSorted((a, b) => a - b),
  ]);
  return Object.fromEntries(banks) as PcrSelection;
}

async function readInput(): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > largestInputBytes) throw new RangeError('the input is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
