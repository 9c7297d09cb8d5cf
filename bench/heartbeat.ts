// Heartbeats: how many a server takes, what each costs and how long it waits, beside the bare framework, the same API without
// batches, and a Flask service; what that becomes when the fleet grows; and what Temporal has to do with it.
import { measureGrowth } from './heartbeat/growth.ts';
import { startInstallation } from './heartbeat/installation.ts';
import { startLoad } from './heartbeat/load.ts';
import { measureSteady } from './heartbeat/steady.ts';
import type { Bench } from './main.ts';

export const heartbeatBench: Bench = async (say) => {
  say('starts Postgres and Temporal');
  const installation = await startInstallation();
  const load = startLoad();
  try {
    const { enrolled, ...steady } = await measureSteady(installation, load, say);
    const growth = await measureGrowth(installation, load, enrolled, say);
    return {
      ...steady,
      measurements: [...steady.measurements, ...growth.measurements],
      ratios: { ...steady.ratios, ...growth.ratios },
    };
  } finally {
    await load.stop();
    await installation.stop();
  }
};
