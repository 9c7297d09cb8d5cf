// Short messages about what was done; what shows them is loaded with the first one.

export interface Message {
  readonly title: string;
  readonly message: string;
  readonly tone?: 'bad';
}

let hasSpoken = false;
const listeners = new Set<() => void>();

/** Shows a message for a while. Not for what must not be missed: that stays on the page. */
export function say({ title, message, tone }: Message): void {
  hasSpoken = true;
  for (const listener of listeners) listener();
  void import('@mantine/notifications').then(({ notifications }) =>
    notifications.show({ title, message, color: tone === 'bad' ? 'red' : 'brand' }),
  );
}

/** Whether there has been anything to show. */
export const spoken = {
  value: () => hasSpoken,
  subscribe: (listener: () => void) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
};
