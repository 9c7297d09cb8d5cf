// Keeps what is on the screen still while somebody points at it or goes through it by keyboard.
import { useRef, useState, type FocusEvent, type PointerEvent } from 'react';

export interface Held<T> {
  readonly shown: T;
  /** Whether something newer waits. */
  readonly waiting: boolean;
  readonly pointer: HoldHandlers;
}

export interface HoldHandlers {
  onPointerEnter(event: Pick<PointerEvent, 'pointerType'>): void;
  onPointerLeave(): void;
  onFocus(): void;
  onBlur(event: FocusEvent): void;
}

function useHolding(): { readonly holding: boolean; readonly handlers: HoldHandlers } {
  const [pointed, setPointed] = useState(false);
  const [focused, setFocused] = useState(false);
  return {
    holding: pointed || focused,
    handlers: {
      onPointerEnter: ({ pointerType }) => setPointed(pointerType === 'mouse'),
      onPointerLeave: () => setPointed(false),
      onFocus: () => setFocused(true),
      onBlur: ({ currentTarget, relatedTarget }) => setFocused(currentTarget.contains(relatedTarget)),
    },
  };
}

/**
 * Holds a value while a mouse is over it or the keyboard is in it, so that no row moves away.
 *
 * @param key What was asked for; when that changes the new answer is shown at once.
 */
export function useHeld<T>(value: T, key: string): Held<T> {
  const { holding, handlers } = useHolding();
  const kept = useRef({ value, key });
  // Reading and writing a ref while rendering is what holding means: the kept value is that of the last free rendering.
  if (!holding || kept.current.key !== key) kept.current = { value, key };
  return { shown: kept.current.value, waiting: kept.current.value !== value, pointer: handlers };
}

export interface HeldRows<Row> {
  /** In the order that is held, each as it is now. */
  readonly rows: Row[] | undefined;
  /** Rows that have come, gone or moved since. */
  readonly changes: number;
  /** Takes them in at once. */
  apply(): void;
  readonly pointer: HoldHandlers;
}

/** Holds which rows there are and their order; what a row says is always the newest. */
export function useHeldRows<Row>(fresh: Row[] | undefined, key: string, rowKey: (row: Row) => string): HeldRows<Row> {
  const { holding, handlers } = useHolding();
  const [, setApplied] = useState(0);
  const kept = useRef({ rows: fresh, key });
  if (!holding || kept.current.key !== key || kept.current.rows === undefined) kept.current = { rows: fresh, key };
  const { rows, changes } = inPlace(kept.current.rows, fresh, rowKey);
  return {
    rows,
    changes,
    apply: () => {
      kept.current = { rows: fresh, key };
      setApplied((count) => count + 1);
    },
    pointer: handlers,
  };
}

/** The held rows with their newest content, and how many rows would come, go or change places. */
export function inPlace<Row>(
  held: Row[] | undefined,
  fresh: Row[] | undefined,
  rowKey: (row: Row) => string,
): { readonly rows: Row[] | undefined; readonly changes: number } {
  if (held === undefined || fresh === undefined || held === fresh) return { rows: held, changes: 0 };
  const newest = new Map(fresh.map((row) => [rowKey(row), row]));
  const before = new Set(held.map(rowKey));
  const staying = held.map(rowKey).filter((id) => newest.has(id));
  const known = fresh.map(rowKey).filter((id) => before.has(id));
  const moved = known.filter((id, place) => staying[place] !== id).length;
  const gone = held.length - staying.length;
  const come = fresh.length - known.length;
  const rows = held.map((row) => newest.get(rowKey(row)) ?? row);
  return { rows: moved + gone + come === 0 ? fresh : rows, changes: moved + gone + come };
}
