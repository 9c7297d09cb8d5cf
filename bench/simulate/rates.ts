// How devices and people live in the simulation: one table of rates, each with what it means and its flag.
export interface Rate {
  readonly value: number;
  readonly unit: string;
  readonly meaning: string;
}

export const rates = {
  heartbeat_seconds: { value: 15, unit: 's', meaning: 'between two heartbeats (SENTINEL_HEARTBEAT_INTERVAL_SECONDS)' },
  signal_seconds: {
    value: 43_200,
    unit: 's',
    meaning: 'between two signals of a steady device (SENTINEL_HEARTBEAT_SIGNAL_INTERVAL_SECONDS)',
  },
  changes_a_day: { value: 0.5, unit: '/day', meaning: 'posture, tags or version are other ones: a reboot, an upgrade' },
  silences_a_day: { value: 0.1, unit: '/day', meaning: 'the device goes silent' },
  silence_hours: { value: 12, unit: 'h', meaning: 'for so long, on average' },
  certificate_days: { value: 90, unit: 'd', meaning: 'until it presents its next certificate' },
  decision_hours: { value: 4, unit: 'h', meaning: 'until each person has looked at a review, on average' },
  rejections: { value: 0.01, unit: 'of reviews', meaning: 'are turned down, and the device is reset a day later' },
  forgotten: { value: 0.01, unit: 'of reviews', meaning: 'nobody looks at, until they lapse' },
  sensitive: { value: 0.1, unit: 'of devices', meaning: 'need two people' },
  revocations_a_year: { value: 0.02, unit: '/year', meaning: 'a certificate is revoked, and replaced within a day' },
} as const satisfies Readonly<Record<string, Rate>>;

export type RateName = keyof typeof rates;
export type Rates = Readonly<Record<RateName, number>>;

export const usualRates = Object.fromEntries(Object.entries(rates).map(([name, { value }]) => [name, value])) as Rates;
