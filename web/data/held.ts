// Keeps what is on the screen still while the pointer is over it.
import { useRef, useState } from 'react';

export interface Held<T> {
  readonly shown: T;
  /** Whether something newer waits. */
  readonly waiting: boolean;
  readonly pointer: {
    onPointerEnter(event: { pointerType: string }): void;
    onPointerLeave(): void;
  };
}

/**
 * Holds a value while a mouse is over it, so that no row moves away under the pointer.
 *
 * @param key What was asked for; when that changes the new answer is shown at once.
 */
export function useHeld<T>(value: T, key: string): Held<T> {
  const [holding, setHolding] = useState(false);
  const kept = useRef({ value, key });
  // Reading and writing a ref while rendering is what holding means: the kept value is that of the last free rendering.
  if (!holding || kept.current.key !== key) kept.current = { value, key };
  return {
    shown: kept.current.value,
    waiting: kept.current.value !== value,
    pointer: {
      onPointerEnter: ({ pointerType }) => setHolding(pointerType === 'mouse'),
      onPointerLeave: () => setHolding(false),
    },
  };
}
