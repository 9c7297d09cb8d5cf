// The closed list of Temporal search attributes. They are never encrypted, so they hold nothing secret.
export const searchAttributes = {
  SentinelProject: 'KEYWORD',
  SentinelKind: 'KEYWORD',
  SentinelState: 'KEYWORD',
  SentinelTier: 'KEYWORD',
} as const;
export type SearchAttributeName = keyof typeof searchAttributes;
