// Small words that explanations are made of, the same for everybody who reads them.

/** `2026-11-24 09:12 UTC`. */
export function moment(at: string | null): string {
  return at === null ? 'an unknown time' : `${at.slice(0, 16).replace('T', ' ')} UTC`;
}

export function listed(names: readonly string[], conjunction: 'and' | 'or' = 'and'): string {
  if (names.length < 2) return names.join('');
  return `${names.slice(0, -1).join(', ')} ${conjunction} ${names.at(-1)}`;
}

export const quoted = (text: string | null): string => (text === null ? '' : ` (“${text}”)`);
export const counted = (count: number, one: string): string => `${count} ${one}${count === 1 ? '' : 's'}`;
