// One device: where it stands and why, what waits, what can be done, and everything that happened to it.
import type { Device } from '#contracts/http/devices.ts';
import { Tabs } from '@mantine/core';
import { IconDevicesOff } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { createLazyRoute, Link, useNavigate } from '@tanstack/react-router';
import { isMissing } from '../data/queries.ts';
import { useBarrier, useServices } from '../data/services.tsx';
import { LivenessBadge, TierBadge } from '../parts/badges.tsx';
import { Freshness } from '../parts/freshness.tsx';
import { Json } from '../parts/json.tsx';
import { Moment } from '../parts/moment.tsx';
import { Loading, Nothing, Page, Panel } from '../parts/page.tsx';
import { ProblemAlert } from '../parts/problem.tsx';
import { Barrier } from '../parts/barrier.tsx';
import { WorkflowLink } from '../parts/workflow-link.tsx';
import { deviceTabs, parseDeviceSearch } from '../search.ts';
import { DeviceActions } from './device/device-actions.tsx';
import { AttestationPanel } from './device/attestation-panel.tsx';
import { CommandPanel, IdentityPanel, PosturePanel, TagsPanel } from './device/device-facts.tsx';
import { CertificatePanel } from './device/certificate-panel.tsx';
import { DeviceReview } from './device/device-review.tsx';
import { DeviceTimeline } from './device/device-timeline.tsx';
import { WhyPanel } from './device/why-panel.tsx';
import classes from './device.module.css';
import { LinkButton } from '../parts/link-button.tsx';

export const deviceRoute = createLazyRoute('/signed-in/devices/$deviceId')({ component: DevicePage });

function DevicePage() {
  const { deviceId } = deviceRoute.useParams();
  const { queries } = useServices();
  const barrier = useBarrier('device.read');
  const query = useQuery({ ...queries.device(deviceId), enabled: barrier === null });
  const device = query.data;
  const above = (
    <nav className={classes['crumbs']} aria-label="Breadcrumb" data-print="hide">
      <Link to="/dashboard">Fleet</Link>
      <span aria-hidden>/</span>
      <span aria-current="page">{deviceId}</span>
    </nav>
  );
  if (device === undefined) {
    return (
      <Page title={deviceId} above={above}>
        {barrier !== null && <Barrier text={barrier} />}
        {barrier === null && query.error === null && (
          <Panel title="Device" flush>
            <Loading label="Reading the device" />
          </Panel>
        )}
        {query.error !== null && isMissing(query.error) && (
          <Panel title="Device" flush>
            <Nothing
              icon={IconDevicesOff}
              title="There is no such device in this project"
              actions={
                <LinkButton
                  to="/dashboard"
                  search={{ search: deviceId.slice(0, 64) }}
                  variant="default"
                  size="compact-md"
                >
                  Search the fleet for it
                </LinkButton>
              }
            >
              A device is known from its first heartbeat on. Its name is the common name of its certificate, letter for
              letter.
            </Nothing>
          </Panel>
        )}
        {query.error !== null && !isMissing(query.error) && (
          <ProblemAlert error={query.error} onRetry={() => void query.refetch()} />
        )}
      </Page>
    );
  }
  return (
    <Page
      title={deviceId}
      above={above}
      heading={
        <span className={classes['heading']}>
          {device.device_id}
          <TierBadge tier={device.trust_tier} large />
        </span>
      }
      description={<Summary device={device} />}
      actions={
        <>
          <Freshness query={query} />
          <WorkflowLink workflow={device.workflow} />
        </>
      }
    >
      <DeviceTabs device={device} />
    </Page>
  );
}

function Summary({ device }: { readonly device: Device }) {
  const facts = [device.hostname, device.platform, device.agent_version && `agent ${device.agent_version}`];
  return (
    <span className={classes['summary']}>
      <LivenessBadge liveness={device.liveness} plain />
      <span>
        last seen <Moment at={device.last_seen_at} empty="never" />
      </span>
      {facts
        .filter((fact) => fact !== null && fact !== '')
        .map((fact) => (
          <span key={fact}>{fact}</span>
        ))}
      {device.retired && <strong>Retired</strong>}
    </span>
  );
}

const tabLabels = { overview: 'Overview', timeline: 'Timeline', json: 'JSON' } as const;

function DeviceTabs({ device }: { readonly device: Device }) {
  const { tab = 'overview', kind } = deviceRoute.useSearch({ select: parseDeviceSearch });
  const navigate = useNavigate({ from: '/devices/$deviceId' });
  return (
    <Tabs
      value={tab}
      keepMounted={false}
      onChange={(value) => {
        const chosen = deviceTabs.find((name) => name === value);
        void navigate({ search: chosen === undefined || chosen === 'overview' ? {} : { tab: chosen }, replace: true });
      }}
    >
      <Tabs.List className={classes['tabs'] ?? ''} data-print="hide">
        {deviceTabs.map((name) => (
          <Tabs.Tab key={name} value={name}>
            {tabLabels[name]}
          </Tabs.Tab>
        ))}
      </Tabs.List>
      <Tabs.Panel value="overview">
        <DeviceOverview device={device} />
      </Tabs.Panel>
      <Tabs.Panel value="timeline">
        <DeviceTimeline
          deviceId={device.device_id}
          kind={kind}
          onKind={(chosen) =>
            void navigate({
              search: { tab: 'timeline', ...(chosen === undefined ? {} : { kind: chosen }) },
              replace: true,
            })
          }
        />
      </Tabs.Panel>
      <Tabs.Panel value="json">
        <Panel title="The device as the API sends it">
          <Json value={device} label="Device as JSON" />
        </Panel>
      </Tabs.Panel>
    </Tabs>
  );
}

function DeviceOverview({ device }: { readonly device: Device }) {
  return (
    <div className={classes['columns']}>
      <div>
        {device.pending_review !== null && <DeviceReview id={device.pending_review.id} />}
        <WhyPanel device={device} />
        <CertificatePanel
          title="Certificate"
          certificate={device.certificate}
          isRevoked={device.trust_tier === 'revoked'}
        />
        {device.candidate_certificate !== null && device.pending_review === null && (
          <CertificatePanel title="Certificate that was presented" certificate={device.candidate_certificate} />
        )}
        <DeviceActions device={device} />
      </div>
      <div>
        <IdentityPanel device={device} />
        <AttestationPanel deviceId={device.device_id} state={device.attestation.state} />
        <TagsPanel device={device} />
        <PosturePanel device={device} />
        <CommandPanel deviceId={device.device_id} />
      </div>
    </div>
  );
}
