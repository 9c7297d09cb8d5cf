// The few settings that decisions depend on, as they reach an actor: with the facts that it reads, never from the environment.
export interface IdentityPolicy {
  readonly require_new_device_approval: boolean;
  readonly review_ttl_seconds: number;
  readonly sensitive_tags: readonly string[];
  readonly sensitive_approvals: number;
}
