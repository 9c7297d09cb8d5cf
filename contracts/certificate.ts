// What is known of a certificate, in the words of the API.
export interface CertificateFacts {
  /** SHA-256 over the DER, lower-case hex, computed by us. */
  readonly fingerprint_sha256: string;
  /** Lower-case hex without leading zeros. */
  readonly serial_number: string;
  /** RFC 4514. */
  readonly issuer: string;
  readonly subject: string;
  readonly not_before: string;
  readonly not_after: string;
}
