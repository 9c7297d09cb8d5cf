// Search parameters: plain text in the address, typed by the schemas of the API, and never trusted.
// The router passes on what a route does not validate, so pages parse again what they read: `useSearch({ select: parse… })`.
import { CertificateListQuery } from '#contracts/http/certificates.ts';
import { DeviceListQuery } from '#contracts/http/devices.ts';
import { ApprovalListQuery } from '#contracts/http/approvals.ts';
import { AuditListQuery } from '#contracts/http/audit.ts';
import { type ApprovalState, timelineKinds, type TimelineKind } from '#contracts/states.ts';

type Raw = Readonly<Record<string, unknown>>;

/** As much of JSON Schema as the query schemas use. */
interface FieldSchema {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly format?: string;
}

/** Keeps the parameters that fit the schema and drops the rest: an old or hand-written address still opens the page. */
function pick<Query>(schema: { properties: Record<string, object> }, raw: Raw): Query {
  const kept = Object.entries(schema.properties)
    .map(([name, field]) => [name, fieldValue(field, raw[name])] as const)
    .filter(([, value]) => value !== undefined);
  return Object.fromEntries(kept) as Query;
}

function fieldValue(schema: FieldSchema, raw: unknown): string | number | boolean | undefined {
  if (typeof raw !== 'string' && typeof raw !== 'number' && typeof raw !== 'boolean') return undefined;
  const text = String(raw);
  if (schema.enum !== undefined) return schema.enum.includes(text) ? text : undefined;
  switch (schema.type) {
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : undefined;
    case 'integer': {
      const value = Number(text);
      const fits = value >= (schema.minimum ?? -Infinity) && value <= (schema.maximum ?? Infinity);
      return Number.isInteger(value) && fits ? value : undefined;
    }
    case 'string':
      if (text === '' || text.length > (schema.maxLength ?? Infinity)) return undefined;
      return schema.format === 'date-time' && Number.isNaN(Date.parse(text)) ? undefined : text;
    default:
      return undefined;
  }
}

export const parseFleetSearch = (raw: Raw): DeviceListQuery => pick(DeviceListQuery, raw);

/** The plan above the list is by week, unless it says otherwise. */
export type CertificatesSearch = CertificateListQuery & { plan?: 'month' };

export const parseCertificatesSearch = (raw: Raw): CertificatesSearch => ({
  ...pick<CertificateListQuery>(CertificateListQuery, raw),
  ...(raw['plan'] === 'month' ? { plan: 'month' } : {}),
});

/** Without a state the queue shows what waits; `all` shows everything. */
export type ApprovalsSearch = Omit<ApprovalListQuery, 'state'> & { state?: ApprovalState | 'all' };

export function parseApprovalsSearch(raw: Raw): ApprovalsSearch {
  const { state, ...rest } = pick<ApprovalListQuery>(ApprovalListQuery, raw);
  if (raw['state'] === 'all') return { ...rest, state: 'all' };
  return state === undefined || state === 'open' ? rest : { ...rest, state };
}

export const parseAuditSearch = (raw: Raw): AuditListQuery => pick(AuditListQuery, raw);

export const deviceTabs = ['overview', 'timeline', 'json'] as const;
export type DeviceTab = (typeof deviceTabs)[number];

/** Tabs that there once were, in addresses that people have kept. */
const formerTabs: Readonly<Record<string, TimelineKind>> = { history: 'transition', audit: 'audit' };

export interface DeviceSearch {
  readonly tab?: DeviceTab;
  /** Of the timeline. */
  readonly kind?: TimelineKind;
}

export function parseDeviceSearch(raw: Raw): DeviceSearch {
  const former = formerTabs[String(raw['tab'])];
  if (former !== undefined) return { tab: 'timeline', kind: former };
  const tab = deviceTabs.find((name) => name === raw['tab']);
  if (tab === undefined || tab === 'overview') return {};
  const kind = timelineKinds.find((name) => name === raw['kind']);
  return tab === 'timeline' && kind !== undefined ? { tab, kind } : { tab };
}

export interface LoginSearch {
  /** Where to go afterwards: a path of this console. */
  readonly next?: string;
  /** Set when a session ended while somebody was working. */
  readonly ended?: true;
}

export function parseLoginSearch(raw: Raw): LoginSearch {
  const next = ownPath(raw['next']);
  return { ...(next === null ? {} : { next }), ...(String(raw['ended']) === 'true' ? { ended: true } : {}) };
}

/** A path of this origin, or null: an address that leads elsewhere would make the sign-in page a trap. */
export function ownPath(raw: unknown): string | null {
  if (typeof raw !== 'string' || !/^\/(?![/\\])/.test(raw)) return null;
  const origin = 'https://console.invalid';
  const url = URL.parse(raw, origin);
  if (url === null || url.origin !== origin || url.pathname === '/login') return null;
  return url.pathname + url.search + url.hash;
}

/** Text to parameters and back without quotes or JSON, so that addresses can be read and typed. */
export function parseSearch(text: string): Record<string, string> {
  return Object.fromEntries(new URLSearchParams(text));
}

export function stringifySearch(search: Record<string, unknown>): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(search)) {
    if (value !== undefined && value !== null) parameters.set(name, String(value as string | number | boolean));
  }
  return parameters.size === 0 ? '' : `?${parameters.toString()}`;
}

/** Parameters with some changed: what became undefined goes, and so does the cursor, which belonged to the list before. */
export function refined<Search extends { cursor?: string }>(
  before: Search,
  change: { [Name in keyof Search]?: Search[Name] | undefined },
): Search {
  const { cursor: _, ...kept } = { ...before, ...change };
  return Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== undefined && value !== '')) as Search;
}
