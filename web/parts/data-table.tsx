// The one table: real table markup on wide screens, cards on phones, and only the visible rows of a long list.
import { useMediaQuery } from '@mantine/hooks';
import { tableFeatures, useTable, type ColumnDef } from '@tanstack/react-table';
import { useWindowVirtualizer } from '@tanstack/react-virtual';
import { Fragment, useLayoutEffect, useRef, useState, type MouseEvent, type ReactNode } from 'react';
import type { HoldHandlers } from '../data/held.ts';
import classes from './data-table.module.css';

const features = tableFeatures({});
export type Column<Row extends object> = ColumnDef<typeof features, Row>;

interface DataTableProps<Row extends object> {
  /** Says what the table holds, for screen readers. */
  readonly caption: string;
  readonly columns: Column<Row>[];
  readonly rows: Row[];
  readonly rowKey: (row: Row) => string;
  /** Opens a row that is clicked anywhere; the row has a link as well, for keyboards. */
  readonly onOpen?: (row: Row) => void;
  /** A second line under a row. */
  readonly below?: (row: Row) => ReactNode;
  /** The same row on a phone. */
  readonly card: (row: Row) => ReactNode;
  readonly pointer?: HoldHandlers;
  readonly selection?: Selection<Row>;
}

/** Rows that are chosen to do something with. */
export interface Selection<Row> {
  readonly has: (row: Row) => boolean;
  readonly change: (rows: readonly Row[], isChosen: boolean) => void;
  /** `kiosk-1`, for the name of its checkbox. */
  readonly nameOf: (row: Row) => string;
}

const phone = '(max-width: 48em)';
/** Shorter lists are rendered whole, so that searching the page finds every row. */
const virtualFrom = 120;
const rowHeight = 49;

export function DataTable<Row extends object>(props: DataTableProps<Row>) {
  const isPhone = useMediaQuery(phone, false, { getInitialValueInEffect: false });
  return isPhone ? <Cards {...props} /> : <WideTable {...props} />;
}

function Cards<Row extends object>({ caption, rows, rowKey, card, below, pointer, selection }: DataTableProps<Row>) {
  return (
    <ul className={classes['cards']} aria-label={caption} {...pointer}>
      {rows.map((row) => (
        <li key={rowKey(row)} data-selectable={selection !== undefined}>
          {selection !== undefined && <Choose rows={[row]} selection={selection} label={selection.nameOf(row)} />}
          {card(row)}
          {below?.(row)}
        </li>
      ))}
    </ul>
  );
}

function WideTable<Row extends object>(props: DataTableProps<Row>) {
  const { caption, columns, rows: data, rowKey, onOpen, below, pointer, selection } = props;
  const chosenLast = useRef<string | null>(null);
  const width = columns.length + (selection === undefined ? 0 : 1);
  const table = useTable({ features, columns, data, getRowId: rowKey });
  const { rows } = table.getRowModel();
  const body = useRef<HTMLTableSectionElement>(null);
  const [offset, setOffset] = useState(0);
  useLayoutEffect(() => {
    setOffset((body.current?.getBoundingClientRect().top ?? 0) + window.scrollY);
  }, []);
  const isLong = rows.length >= virtualFrom;
  const virtualizer = useWindowVirtualizer({
    count: rows.length,
    enabled: isLong,
    estimateSize: () => rowHeight,
    overscan: 20,
    scrollMargin: offset,
  });
  const windowed = virtualizer.getVirtualItems();
  const shown = isLong ? windowed.flatMap(({ index }) => rows[index] ?? []) : rows;
  const before = isLong ? (windowed[0]?.start ?? offset) - offset : 0;
  const after = isLong ? virtualizer.getTotalSize() - ((windowed.at(-1)?.end ?? offset) - offset) : 0;

  return (
    <div className={classes['scroll']}>
      <table className={classes['table']} aria-rowcount={isLong ? rows.length + 1 : undefined}>
        <caption className={classes['caption']}>{caption}</caption>
        <thead>
          {table.getHeaderGroups().map((group) => (
            <tr key={group.id}>
              {selection !== undefined && (
                <th scope="col" className={classes['choose']}>
                  <Choose rows={data} selection={selection} label="all on this page" />
                </th>
              )}
              {group.headers.map((header) => (
                <th key={header.id} scope="col" data-column={header.id}>
                  <table.FlexRender header={header} />
                </th>
              ))}
            </tr>
          ))}
        </thead>
        <tbody ref={body} {...pointer}>
          <Gap height={before} columns={width} />
          {shown.map((row) => (
            <Fragment key={row.id}>
              <tr
                data-row={row.id}
                data-opens={onOpen !== undefined}
                aria-rowindex={isLong ? row.index + 2 : undefined}
                onClick={onOpen && ((event) => isPlainClick(event) && onOpen(row.original))}
              >
                {selection !== undefined && (
                  <td className={classes['choose']}>
                    <Choose
                      rows={[row.original]}
                      selection={selection}
                      label={selection.nameOf(row.original)}
                      onRange={(isRange) => {
                        const from = isRange ? data.findIndex((one) => rowKey(one) === chosenLast.current) : -1;
                        chosenLast.current = row.id;
                        if (from < 0) return [row.original];
                        return data.slice(Math.min(from, row.index), Math.max(from, row.index) + 1);
                      }}
                    />
                  </td>
                )}
                {row.getAllCells().map((cell) => (
                  <td key={cell.id} data-column={cell.column.id}>
                    <table.FlexRender cell={cell} />
                  </td>
                ))}
              </tr>
              {below?.(row.original) !== undefined && (
                <tr className={classes['below']}>
                  <td colSpan={width}>{below?.(row.original)}</td>
                </tr>
              )}
            </Fragment>
          ))}
          <Gap height={after} columns={width} />
        </tbody>
      </table>
    </div>
  );
}

interface ChooseProps<Row> {
  readonly rows: readonly Row[];
  readonly selection: Selection<Row>;
  readonly label: string;
  /** The rows that one click chooses, with Shift from the one that was clicked before. */
  readonly onRange?: (isRange: boolean) => readonly Row[];
}

function Choose<Row>({ rows, selection, label, onRange }: ChooseProps<Row>) {
  const chosen = rows.filter(selection.has).length;
  const isShift = useRef(false);
  return (
    <label className={classes['choice']}>
      <input
        type="checkbox"
        aria-label={`Select ${label}`}
        checked={rows.length > 0 && chosen === rows.length}
        ref={(box) => {
          if (box !== null) box.indeterminate = chosen > 0 && chosen < rows.length;
        }}
        onClick={(event) => {
          isShift.current = event.shiftKey;
        }}
        onChange={(event) => selection.change(onRange?.(isShift.current) ?? rows, event.currentTarget.checked)}
      />
    </label>
  );
}

/** Stands for the rows that are not rendered. */
function Gap({ height, columns }: { readonly height: number; readonly columns: number }) {
  if (height <= 0) return null;
  return (
    <tr aria-hidden>
      <td colSpan={columns} style={{ height, padding: 0, border: 0 }} />
    </tr>
  );
}

/** Not a click on something inside the row, and not the end of selecting text. */
function isPlainClick(event: MouseEvent<HTMLElement>): boolean {
  const inner = (event.target as Element).closest('a, button, input, label, summary, [role="button"]');
  return inner === null && window.getSelection()?.type !== 'Range';
}
