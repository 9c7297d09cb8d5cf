// Certificates by the time at which they end: what has to be renewed first is at the top.
import type { CertificateListQuery, ListedCertificate } from '#contracts/http/certificates.ts';
import { Button } from '@mantine/core';
import { IconCertificateOff, IconFilterOff, IconSearch, IconX } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { createLazyRoute, useNavigate } from '@tanstack/react-router';
import { useHeldRows } from '../data/held.ts';
import { useBarrier, useServices } from '../data/services.tsx';
import { Barrier } from '../parts/barrier.tsx';
import { Command } from '../parts/copy.tsx';
import { DataTable } from '../parts/data-table.tsx';
import { Freshness } from '../parts/freshness.tsx';
import { Loading, Nothing, Page, Panel } from '../parts/page.tsx';
import { Pager } from '../parts/pager.tsx';
import { ProblemAlert } from '../parts/problem.tsx';
import { TypedFilter } from '../parts/typed-filter.tsx';
import { parseCertificatesSearch, refined, type CertificatesSearch } from '../search.ts';
import { counted } from '../words/names.ts';
import { rangeText } from '../words/plan.ts';
import { CertificateCard, certificateColumns } from './certificates/certificate-table.tsx';
import { ExpiryPlan } from './certificates/expiry-plan.tsx';
import classes from './certificates.module.css';

export const certificatesRoute = createLazyRoute('/signed-in/certificates')({ component: Certificates });

const pageSize = 50;

type Filter = Pick<
  CertificateListQuery,
  'rotation' | 'expiring_soon' | 'expired' | 'role' | 'not_after_from' | 'not_after_before'
>;

/** The questions that people come with, each a set of filters. */
const views: readonly { readonly label: string; readonly filter: Filter }[] = [
  { label: 'All', filter: {} },
  { label: 'Expired', filter: { expired: true } },
  { label: 'Rotation required', filter: { rotation: 'required' } },
  { label: 'Rotation recommended', filter: { rotation: 'recommended' } },
  { label: 'Expiring soon', filter: { expiring_soon: true } },
  { label: 'Under review', filter: { role: 'candidate' } },
];
const noTimes = { not_after_from: undefined, not_after_before: undefined } as const;
const noFilter = {
  rotation: undefined,
  expiring_soon: undefined,
  expired: undefined,
  role: undefined,
  ...noTimes,
} as const;

function Certificates() {
  const search = certificatesRoute.useSearch({ select: parseCertificatesSearch });
  const navigate = useNavigate({ from: '/certificates' });
  const { queries } = useServices();
  const barrier = useBarrier('device.read');
  const { plan, ...query } = search;
  const certificates = useQuery({ ...queries.certificates({ limit: pageSize, ...query }), enabled: barrier === null });
  const held = useHeldRows(
    certificates.data?.items,
    `${JSON.stringify(query)} ${certificates.isPlaceholderData}`,
    keyOf,
  );
  const { rows } = held;
  const { cursor, limit: _, ...filters } = query;
  const isFiltered = Object.keys(filters).length > 0;
  const change = (part: { [Name in keyof CertificatesSearch]?: CertificatesSearch[Name] | undefined }) =>
    void navigate({ search: refined(search, part), replace: 'search' in part });
  const range = rangeText(query);

  if (barrier !== null) {
    return (
      <Page title="Certificates">
        <Barrier text={barrier} />
      </Page>
    );
  }
  return (
    <Page
      title="Certificates"
      description="What devices prove themselves with, the one that ends first at the top. An expired certificate restricts its device at once."
      actions={
        <Freshness query={certificates} held={held.changes > 0} changes={{ count: held.changes, apply: held.apply }} />
      }
    >
      <ExpiryPlan search={search} onChange={(by) => change({ plan: by === 'month' ? by : undefined })} />
      <Panel
        title="By expiry"
        flush
        actions={
          <div className={classes['filters']} role="search" aria-label="Filter the certificates" data-print="hide">
            <TypedFilter
              label="Search"
              placeholder="Device, serial, fingerprint"
              icon={<IconSearch size={15} aria-hidden />}
              value={search.search ?? ''}
              onChange={(text) => change({ search: text === '' ? undefined : text })}
            />
          </div>
        }
      >
        <div className={classes['views']} role="group" aria-label="Which certificates" data-print="hide">
          {views.map(({ label, filter }) => (
            <Button
              key={label}
              size="compact-sm"
              variant={isShown(filter, search) ? 'light' : 'subtle'}
              color={isShown(filter, search) ? 'brand' : 'gray'}
              aria-pressed={isShown(filter, search)}
              onClick={() => change({ ...noFilter, ...filter })}
            >
              {label}
            </Button>
          ))}
          {range !== null && (
            <Button
              size="compact-sm"
              variant="light"
              rightSection={<IconX size={14} aria-hidden />}
              aria-label={`${range}: show all times`}
              onClick={() => change(noFilter)}
            >
              {range}
            </Button>
          )}
        </div>
        {certificates.error !== null && rows === undefined && (
          <ProblemAlert error={certificates.error} onRetry={() => void certificates.refetch()} />
        )}
        {certificates.error === null && rows === undefined && <Loading rows={8} label="Reading the certificates" />}
        {rows !== undefined &&
          rows.length === 0 &&
          (isFiltered ? (
            <NoMatch onClear={() => void navigate({ search: plan === undefined ? {} : { plan } })} />
          ) : (
            <NoCertificates />
          ))}
        {rows !== undefined && rows.length > 0 && (
          <>
            <DataTable
              caption="Certificates, the one that ends first at the top"
              columns={certificateColumns}
              rows={rows}
              rowKey={keyOf}
              onOpen={({ device_id }) =>
                void navigate({ to: '/devices/$deviceId', params: { deviceId: device_id }, search: {} })
              }
              card={(certificate) => <CertificateCard certificate={certificate} />}
              pointer={held.pointer}
            />
            <Pager
              shown={`${counted(rows.length, 'certificate')}${isFiltered ? ' that match' : ''} on this page`}
              next={certificates.data?.next_cursor ?? null}
              isFirst={cursor === undefined}
              onNext={(next) => void navigate({ search: { ...search, cursor: next } })}
              onFirst={() => change({})}
            />
          </>
        )}
      </Panel>
    </Page>
  );
}

const keyOf = ({ device_id, role, fingerprint_sha256 }: ListedCertificate): string =>
  `${device_id} ${role} ${fingerprint_sha256}`;

function isShown(filter: Filter, search: CertificateListQuery): boolean {
  return (Object.keys(noFilter) as (keyof Filter)[]).every((name) => filter[name] === search[name]);
}

function NoMatch({ onClear }: { readonly onClear: () => void }) {
  return (
    <Nothing
      icon={IconFilterOff}
      title="No certificate matches"
      actions={
        <Button variant="default" size="compact-md" onClick={onClear}>
          Show all certificates
        </Button>
      }
    >
      There is none like this at present. The search looks at devices, subjects, serial numbers and fingerprints.
    </Nothing>
  );
}

function NoCertificates() {
  return (
    <Nothing icon={IconCertificateOff} title="No certificate is known yet">
      <p>A certificate appears here when a device presents it for approval.</p>
      <Command line="npx --no-install sentinel ca issue my-device --out my-device" />
    </Nothing>
  );
}
