// Every decoder of what comes from outside, fed for its part of the time with what it never asked for.
import { after, describe, it } from 'node:test';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { decoders } from '#tests/harness/decoders.ts';
import { fuzz, inputsOf } from '#tests/harness/fuzz.ts';
import { beginPart } from './part.ts';

const inputsOfOneSeed = 250;

describe('fuzzing', async () => {
  const part = beginPart('fuzzing');
  const all = Object.entries(await decoders(cleanupAfterAll()));
  let least = Number.POSITIVE_INFINITY;
  after(() => part.did('inputs of each decoder', least));
  for (const [index, [name, decoder]] of all.entries()) {
    it(`lets nothing out of ${name} but refusals (SA-22)`, async () => {
      const left = all.length - index;
      const end = Date.now() + part.leftMs() / left;
      let [times, seed] = [0, part.seed];
      let lost: string[] = [];
      try {
        do {
          part.doing(`${name}, ${times} inputs, ${left} decoders left`, seed);
          await fuzz(name, decoder, { seed, runs: inputsOfOneSeed });
          times += inputsOf(decoder, inputsOfOneSeed);
          seed += 1;
        } while (Date.now() < end);
      } catch (error) {
        lost = [(error as Error).message];
        throw error;
      } finally {
        part.found({ what: 'inputs that a decoder never asked for', times, lost, seed });
        least = Math.min(least, (times * inputsOfOneSeed) / inputsOf(decoder, inputsOfOneSeed));
      }
    });
  }
});
