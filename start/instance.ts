// What a person reads when an installation is ready.
import type { Instance } from '#contracts/instance.ts';

/** What a person reads when all is ready. Never a password. */
export function describeInstance(
  instance: Instance,
  approvers: readonly string[],
  options: {
    readonly logs: string;
    /** Where Prometheus finds the metrics of each process. */
    readonly metrics: readonly string[];
    /** The simulated device that has a TPM, and how to change what it booted. */
    readonly tpm: { readonly deviceId: string; readonly change: string } | null;
  },
): string {
  const rows: readonly (readonly [string, string])[] = [
    ['Console', instance.console_url],
    ['Sign in', signIn(instance)],
    ...(approvers.length > 0 ? [['Approvers', `${approvers.join(', ')}, with the passwords beside it`] as const] : []),
    ['Temporal', instance.temporal_ui_url],
    ['Authority', `${instance.ca_file}, for browsers and other clients to trust`],
    ['Commands', 'npx --no-install sentinel login'],
    ...options.metrics.map((url, index) => [index === 0 ? 'Metrics' : '', url] as const),
    ...(options.tpm === null
      ? []
      : [['TPM', `of ${options.tpm.deviceId}. To change what it booted:`] as const, ['', options.tpm.change] as const]),
    ['Logs', options.logs],
    ['Stop', 'Ctrl-C'],
  ];
  return ['', 'Sentinel is ready.', '', ...rows.map(([label, text]) => `  ${label.padEnd(10)} ${text}`), '', ''].join(
    '\n',
  );
}

function signIn({ admin_username: name, admin_password_file: file }: Instance): string {
  if (name === null) return 'as configured';
  return file === null ? `${name}, as configured` : `${name}, with the password in ${file}`;
}
