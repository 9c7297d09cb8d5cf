// Saves the filtered trail as a file; the API writes it, however long it is.
import { auditExportFormats, type AuditListQuery } from '#contracts/http/audit.ts';
import { Button, Menu } from '@mantine/core';
import { IconDownload } from '@tabler/icons-react';
import { stringifySearch } from '../../search.ts';

const formatWords = { jsonl: 'JSON lines, complete', csv: 'CSV, for a spreadsheet' } as const;

export function ExportMenu({ search }: { readonly search: AuditListQuery }) {
  const { limit: _, cursor: __, ...filters } = search;
  return (
    <Menu position="bottom-end" shadow="md">
      <Menu.Target>
        <Button
          size="compact-sm"
          variant="default"
          leftSection={<IconDownload size={14} aria-hidden />}
          data-print="hide"
        >
          Export
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>Every event that the filters let through</Menu.Label>
        {auditExportFormats.map((format) => (
          <Menu.Item
            key={format}
            component="a"
            href={`/api/audit/export${stringifySearch({ ...filters, format })}`}
            download
          >
            {formatWords[format]}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}
