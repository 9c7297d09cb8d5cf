// `instance.json`: where everything is, for the command line and other tools of this machine. Its fields are fixed.
export interface Instance {
  readonly api_url: string;
  readonly console_url: string;
  readonly temporal_address: string;
  readonly temporal_namespace: string;
  readonly temporal_ui_url: string;
  /** The owner's, with its password. */
  readonly database_url: string;
  /** What a client trusts the server with. */
  readonly ca_file: string;
  /** `null` when the administrators were configured and are not one. */
  readonly admin_username: string | null;
  /** `null` when the administrators were configured. */
  readonly admin_password_file: string | null;
  /** Of the supervisor and of every part. */
  readonly pids: Readonly<Record<string, number>>;
}

/** What a person reads when all is ready. Never a password. */
export function describeInstance(instance: Instance, approvers: readonly string[], logs: string): string {
  const rows: readonly (readonly [string, string])[] = [
    ['Console', instance.console_url],
    ['Sign in', signIn(instance)],
    ...(approvers.length > 0 ? [['Approvers', `${approvers.join(', ')}, with the passwords beside it`] as const] : []),
    ['Temporal', instance.temporal_ui_url],
    ['Authority', `${instance.ca_file}, for browsers and other clients to trust`],
    ['Commands', 'npx --no-install sentinel login'],
    ['Logs', logs],
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
