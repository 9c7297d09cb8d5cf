// Devices as files that other programs read.
import type { Device } from '#contracts/http/devices.ts';

const columns: readonly (readonly [string, (device: Device) => string | number | boolean | null])[] = [
  ['device_id', (device) => device.device_id],
  ['trust_tier', (device) => device.trust_tier],
  ['approval_state', (device) => device.approval_state],
  ['liveness', (device) => device.liveness],
  ['last_seen_at', (device) => device.last_seen_at],
  ['first_seen_at', (device) => device.first_seen_at],
  ['retired', (device) => device.retired],
  ['hostname', (device) => device.hostname],
  ['platform', (device) => device.platform],
  ['agent_version', (device) => device.agent_version],
  ['attestation', (device) => device.attestation.state],
  ['hardware_identity', (device) => device.hardware_identity],
  ['certificate_fingerprint_sha256', (device) => device.certificate?.fingerprint_sha256 ?? null],
  ['certificate_not_after', (device) => device.certificate?.not_after ?? null],
  ['certificate_rotation', (device) => device.certificate?.rotation ?? null],
  ['pending_review', (device) => device.pending_review?.kind ?? null],
  ['reported_tags', (device) => device.reported_tags.join(' ')],
  ['assigned_tags', (device) => device.assigned_tags.join(' ')],
];

/** RFC 4180. */
export function devicesCsv(devices: readonly Device[]): string {
  const rows = devices.map((device) => columns.map(([, of]) => cell(of(device))).join(','));
  return [columns.map(([name]) => name).join(','), ...rows].map((row) => `${row}\r\n`).join('');
}

/** What devices report about themselves must not become a formula in somebody's spreadsheet. */
function cell(value: string | number | boolean | null): string {
  if (value === null) return '';
  const text = String(value);
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export const devicesJson = (devices: readonly Device[]): string => `${JSON.stringify(devices, null, 2)}\n`;
