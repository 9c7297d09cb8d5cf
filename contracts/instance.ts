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
