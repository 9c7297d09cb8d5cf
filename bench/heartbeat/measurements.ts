// Evidence of the generator: signed measurements, one for each challenge, with little work beside the signature.
import { createPrivateKey, createPublicKey, hash, sign } from 'node:crypto';
import { canonicalBytes } from '#protocols/canonical-json.ts';
import { signedMeasurement } from '#protocols/signed-measurement.ts';

/** What the devices measure, and what they are asked for. */
export const measured = { sha256: { 0: 'aa'.repeat(32) } } as const;

/** By which a device is bound to the key. @param key in PEM */
export function keyIdOf(key: string): string {
  return hash('sha256', createPublicKey(key).export({ type: 'spki', format: 'der' }));
}

/** @param key Ed25519, in PEM */
export function createMeasurements(key: string) {
  const privateKey = createPrivateKey(key);
  const public_key = createPublicKey(key).export({ type: 'spki', format: 'pem' });
  let nonce: string | null = null;
  return {
    /** Hears the answer to a heartbeat. */
    ask(answer: Buffer): void {
      const { attestation_challenge: challenge } = JSON.parse(answer.toString()) as {
        attestation_challenge: { nonce: string } | null;
      };
      nonce = challenge?.nonce ?? null;
    },
    /** @returns undefined when nothing was asked */
    answer(device_id: string): object | undefined {
      if (nonce === null) return undefined;
      const measurement = { device_id, nonce, measured_at: new Date().toISOString(), pcrs: measured };
      nonce = null;
      const signature = sign(null, canonicalBytes(measurement), privateKey).toString('base64url');
      return { provider: signedMeasurement, measurement, public_key, signature };
    },
  };
}
