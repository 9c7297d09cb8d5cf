// The plan of rotations in words: its periods, which are of the calendar in UTC, and what each of them filters the list by.
import type { CertificateListQuery, CertificatePlan } from '#contracts/http/certificates.ts';
import type { PlanPeriod } from '#contracts/states.ts';
import { counted } from './names.ts';

type Period = CertificatePlan['periods'][number];

export interface PlannedPeriod extends Period {
  /** Under its bar. */
  readonly label: string;
  /** As a sentence, which says all of it. */
  readonly sentence: string;
  readonly filter: CertificateListQuery;
}

const day = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric', timeZone: 'UTC' });
const month = new Intl.DateTimeFormat(undefined, { month: 'short', timeZone: 'UTC' });
const monthOfYear = new Intl.DateTimeFormat(undefined, { month: 'long', year: 'numeric', timeZone: 'UTC' });
const date = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeZone: 'UTC' });

export function plannedPeriods({ by, periods }: CertificatePlan): readonly PlannedPeriod[] {
  const last = periods.length - 1;
  return periods.map((period, index) => {
    const { label, name } = namesOf(period, by, index);
    return { ...period, label, sentence: `${name}: ${sentenceOf(period)}`, filter: filterOf(period, index, last) };
  });
}

/** The days that a filter by time lets through, both included: `Nov 30 – Dec 6, 2026`. */
export function rangeText({ not_after_from: from, not_after_before: before }: CertificateListQuery): string | null {
  const lastDay = before === undefined ? null : new Date(Date.parse(before) - 1);
  if (from !== undefined && lastDay !== null) {
    const first = new Date(from);
    return first <= lastDay ? `Ends ${date.formatRange(first, lastDay)}` : 'Ends at no time';
  }
  if (from !== undefined) return `Ends ${date.format(new Date(from))} or later`;
  return lastDay === null ? null : `Ends by ${date.format(lastDay)}`;
}

function namesOf({ from, before }: Period, by: PlanPeriod, index: number): { label: string; name: string } {
  if (from === null) return { label: 'Ended', name: 'Have ended' };
  const start = new Date(from);
  if (before === null) return { label: 'Later', name: `${date.format(start)} and later` };
  if (index === 1) return { label: `This ${by}`, name: `The rest of this ${by}` };
  if (by === 'month') return { label: month.format(start), name: monthOfYear.format(start) };
  return { label: day.format(start), name: date.formatRange(start, new Date(Date.parse(before) - 1)) };
}

function sentenceOf({ certificates, rotation: { required, recommended } }: Period): string {
  if (certificates === 0) return 'no certificate';
  const urgent = [
    ...(required > 0 ? [`rotation required for ${required.toLocaleString()}`] : []),
    ...(recommended > 0 ? [`rotation recommended for ${recommended.toLocaleString()}`] : []),
  ];
  return [counted(certificates, 'certificate'), ...urgent].join(', ');
}

/** What has ended, and what has not, goes by the clock: the bound of a moment ago would be another one by now. */
function filterOf({ from, before }: Period, index: number, last: number): CertificateListQuery {
  const pinned = { role: 'pinned' } as const;
  if (index === 0 || from === null) return { ...pinned, expired: true };
  if (index === 1) return { ...pinned, expired: false, ...(before === null ? {} : { not_after_before: before }) };
  return {
    ...pinned,
    not_after_from: from,
    ...(index === last || before === null ? {} : { not_after_before: before }),
  };
}
