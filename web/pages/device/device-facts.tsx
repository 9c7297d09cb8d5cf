// What is known of a device: identity, tags, posture, and the commands that show the same.
import type { Device } from '#contracts/http/devices.ts';
import { Stack } from '@mantine/core';
import { DeviceApprovalBadge, Tags } from '../../parts/badges.tsx';
import { Command, CopyText } from '../../parts/copy.tsx';
import { Fact, Facts, ObjectFacts } from '../../parts/facts.tsx';
import { FullMoment, Moment } from '../../parts/moment.tsx';
import { Note, Panel } from '../../parts/page.tsx';

const unknown = 'Not reported';

export function IdentityPanel({ device }: { readonly device: Device }) {
  return (
    <Panel title="Identity">
      <Facts>
        <Fact name="Device ID">
          <CopyText text={device.device_id} what="the device ID" />
        </Fact>
        <Fact name="Approval">
          <DeviceApprovalBadge state={device.approval_state} plain />
        </Fact>
        <Fact name="Host name">{device.hostname ?? unknown}</Fact>
        <Fact name="Platform">{device.platform ?? unknown}</Fact>
        <Fact name="Agent">{device.agent_version ?? unknown}</Fact>
        <Fact name="First seen">
          <FullMoment at={device.first_seen_at} />
        </Fact>
        <Fact name="Last seen">
          <Moment at={device.last_seen_at} />
        </Fact>
        <Fact name="Heartbeat counter">{device.heartbeat_counter?.toLocaleString() ?? 'None yet'}</Fact>
        <Fact name="Epoch">{device.token_version}</Fact>
        <Fact name="Project">{device.project}</Fact>
      </Facts>
    </Panel>
  );
}

export function TagsPanel({ device }: { readonly device: Device }) {
  return (
    <Panel title="Tags">
      <Facts>
        <Fact name="Assigned by people">
          <Tags reported={[]} assigned={device.assigned_tags} />
        </Fact>
        <Fact name="Reported by itself">
          <Tags reported={device.reported_tags} assigned={[]} />
        </Fact>
      </Facts>
    </Panel>
  );
}

export function PosturePanel({ device: { posture, directory } }: { readonly device: Device }) {
  return (
    <Panel title="Posture">
      {Object.keys(posture).length + Object.keys(directory).length === 0 ? (
        <Note>The device has not reported any.</Note>
      ) : (
        <ObjectFacts value={{ ...posture, ...directory }} />
      )}
    </Panel>
  );
}

export function CommandPanel({ deviceId }: { readonly deviceId: string }) {
  return (
    <Panel title="On the command line">
      <Stack gap="xs">
        <Command line={`npx --no-install sentinel device show ${deviceId}`} />
        <Command line={`npx --no-install sentinel device explain ${deviceId}`} />
        <Command line={`npx --no-install sentinel device attestation show ${deviceId}`} />
        <Command line={`npx --no-install sentinel device history ${deviceId}`} />
      </Stack>
    </Panel>
  );
}
