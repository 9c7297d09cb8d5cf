// A device on one screen.
import type { AttestationStatus } from '#contracts/http/attestation.ts';
import type { Device } from '#contracts/http/devices.ts';
import type { DeviceExplanation } from '#contracts/http/explanation.ts';
import type { Target } from './connection.ts';
import type { CliContext } from './context.ts';
import { facts, table, type Cell } from './table.ts';
import { longTime } from './when.ts';
import { stateCell, tierCell } from './words.ts';
import { workflowLink } from './workflow-link.ts';

/** Whether there is more to say of its evidence than that there is none. */
export function hasEvidence({ attestation, hardware_identity }: Device): boolean {
  return attestation.provider !== null || attestation.verified_at !== null || hardware_identity !== null;
}

/** @param status What its evidence came to; null where that was not asked for. */
export function showDevice(
  context: CliContext,
  device: Device,
  target: Target,
  status: AttestationStatus | null = null,
): void {
  const { attestation, pending_review: review } = device;
  const binding = status?.binding ?? null;
  facts(context.terminal, [
    ['Device', device.device_id],
    ['Project', device.project],
    ['Identity', stateCell(device.retired ? 'retired' : device.approval_state)],
    ['Trust tier', tierCell(device.trust_tier)],
    ['Reason', device.reason],
    ['Liveness', stateCell(device.liveness)],
    ['Last seen', longTime(context, device.last_seen_at)],
    ['First seen', longTime(context, device.first_seen_at)],
    [
      'Counter',
      device.heartbeat_counter === null ? null : `${device.heartbeat_counter} in epoch ${device.token_version}`,
    ],
    ['Host', device.hostname],
    ['Platform', device.platform],
    ['Agent', device.agent_version],
    ['Reported tags', device.reported_tags.join(', ')],
    ['Assigned tags', device.assigned_tags.join(', ')],
    ...Object.entries({ ...device.posture, ...device.directory }).map(([name, value]): [string, Cell] => [
      `  ${name}`,
      String(value),
    ]),
    ...certificateFacts(context, 'Certificate', device.certificate),
    ...certificateFacts(context, 'Waiting certificate', device.candidate_certificate),
    ['Attestation', stateCell(attestation.state)],
    ['  provider', attestation.provider],
    ['  verified', attestation.verified_at === null ? null : longTime(context, attestation.verified_at)],
    ['  reason', attestation.reason],
    ...(binding === null
      ? [[status === null ? 'Hardware' : 'Hardware, not approved', device.hardware_identity] as const]
      : [['Bound key', binding.key_id] as const, ['Bound hardware', binding.binding_id ?? 'not known'] as const]),
    ['Review', review && `${review.kind}, ${review.approvals} of ${review.required} approvals`],
    ['  id', review && review.id],
    ['  digest', review && review.digest],
    ['  expires', review && longTime(context, review.expires_at)],
    ['Workflow', workflowLink(device.workflow, target)],
  ]);
}

function certificateFacts(
  context: CliContext,
  name: string,
  certificate: Device['certificate'],
): [string, Cell | null][] {
  if (certificate === null) return [];
  const { rotation } = certificate;
  return [
    [name, certificate.subject],
    ['  fingerprint', certificate.fingerprint_sha256],
    ['  serial number', certificate.serial_number],
    ['  issuer', certificate.issuer],
    ['  not before', longTime(context, certificate.not_before)],
    ['  not after', longTime(context, certificate.not_after)],
    ['  advice', rotation === 'none' ? (certificate.expiring_soon ? 'expires soon' : null) : `rotation ${rotation}`],
  ];
}

const questions: Record<DeviceExplanation['answers'][number]['question'], string> = {
  expected: 'Expected?',
  trusted: 'Still trusted?',
  certificate: 'Certificate valid?',
  waiting: 'Waits for whom?',
};

/** Why a device has its tier: the answers that people look for, then each fact, what decides first. */
export function showExplanation(context: CliContext, explanation: DeviceExplanation): void {
  const { terminal } = context;
  facts(terminal, [
    ['Device', explanation.device_id],
    ['Trust tier', tierCell(explanation.trust_tier)],
    ...explanation.answers.map(({ question, text }): [string, Cell] => [questions[question], text]),
    ['Heard?', `${explanation.liveness.state}: ${explanation.liveness.text}`],
    ['Last seen', longTime(context, explanation.liveness.last_seen_at)],
    ['Last decision', explanation.reason],
  ]);
  terminal.data('');
  table(
    terminal,
    ['decides', 'at most', 'because', 'what would change it'],
    explanation.facts.map((fact) => [fact.decides ? 'yes' : '', tierCell(fact.at_most), fact.text, fact.change ?? '']),
    { wrap: true },
  );
  terminal.data('');
  facts(
    terminal,
    explanation.settings.map(({ name, value }): [string, Cell] => [name, value]),
  );
}
