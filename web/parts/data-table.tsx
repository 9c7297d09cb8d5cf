// The one table: real table markup on wide screens, cards on phones, and only the visible rows of a long list.
import { useMediaQuery } from '@mantine/hooks';
import { tableFeatures, useTable, type ColumnDef } from '@tanstack/react-table';
import { useWindowVirtualizer } from '@tanstack/react-virtual';
import { Fragment, useLayoutEffect, useRef, useState, type MouseEvent, type ReactNode } from 'react';
import type { Held } from '../data/held.ts';
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
  readonly pointer?: Held<unknown>['pointer'];
}

const phone = '(max-width: 48em)';
/** Shorter lists are rendered whole, so that searching the page finds every row. */
const virtualFrom = 120;
const rowHeight = 49;

export function DataTable<Row extends object>(props: DataTableProps<Row>) {
  const isPhone = useMediaQuery(phone, false, { getInitialValueInEffect: false });
  return isPhone ? <Cards {...props} /> : <WideTable {...props} />;
}

function Cards<Row extends object>({ caption, rows, rowKey, card, below, pointer }: DataTableProps<Row>) {
  return (
    <ul className={classes['cards']} aria-label={caption} {...pointer}>
      {rows.map((row) => (
        <li key={rowKey(row)}>
          {card(row)}
          {below?.(row)}
        </li>
      ))}
    </ul>
  );
}

function WideTable<Row extends object>(props: DataTableProps<Row>) {
  const { caption, columns, rows: data, rowKey, onOpen, below, pointer } = props;
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
              {group.headers.map((header) => (
                <th key={header.id} scope="col" data-column={header.id}>
                  <table.FlexRender header={header} />
                </th>
              ))}
            </tr>
          ))}
        </thead>
        <tbody ref={body} {...pointer}>
          <Gap height={before} columns={columns.length} />
          {shown.map((row) => (
            <Fragment key={row.id}>
              <tr
                data-row={row.id}
                data-opens={onOpen !== undefined}
                aria-rowindex={isLong ? row.index + 2 : undefined}
                onClick={onOpen && ((event) => isPlainClick(event) && onOpen(row.original))}
              >
                {row.getAllCells().map((cell) => (
                  <td key={cell.id} data-column={cell.column.id}>
                    <table.FlexRender cell={cell} />
                  </td>
                ))}
              </tr>
              {below?.(row.original) !== undefined && (
                <tr className={classes['below']}>
                  <td colSpan={columns.length}>{below?.(row.original)}</td>
                </tr>
              )}
            </Fragment>
          ))}
          <Gap height={after} columns={columns.length} />
        </tbody>
      </table>
    </div>
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
