// One act on many devices: says how many, wants the number typed, shows how far it is, and what became of each.
import { ApiProblem } from '#client/api-problem.ts';
import type { Device } from '#contracts/http/devices.ts';
import { Button, Group, Modal, Progress, Stack, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import { actOnEach, type Outcome } from '../../data/bulk.ts';
import type { DeviceAct } from '../../data/device-acts.ts';
import { useServices } from '../../data/services.tsx';
import { Confirm } from '../../parts/confirm.tsx';
import { CopyButton } from '../../parts/copy.tsx';
import { counted } from '../../words/names.ts';
import classes from './bulk-dialog.module.css';

interface BulkDialogProps {
  readonly act: DeviceAct;
  readonly devices: readonly Device[];
  readonly opened: boolean;
  readonly onClose: () => void;
}

/** So many requests at once: the server has others to serve. */
const concurrency = 4;
const shownFailures = 50;
/** What came in between is shown together. */
const paintMs = 250;

interface Run {
  readonly total: number;
  readonly outcomes: readonly Outcome<Device>[];
  readonly isOver: boolean;
}

export function BulkDialog({ act, devices, opened, onClose }: BulkDialogProps) {
  const { client } = useServices();
  const cache = useQueryClient();
  const [run, setRun] = useState<Run | null>(null);
  const stopping = useRef<AbortController | null>(null);
  const sensible = devices.filter((device) => act.pointless(device) === null);
  const pointless = devices.length - sensible.length;

  useEffect(() => () => stopping.current?.abort(), []);

  async function start(chosen: readonly Device[], reason: string | undefined): Promise<void> {
    const controller = new AbortController();
    stopping.current = controller;
    const outcomes: Outcome<Device>[] = [];
    const show = (isOver: boolean) => setRun({ total: chosen.length, outcomes: [...outcomes], isOver });
    show(false);
    const painting = setInterval(() => show(false), paintMs);
    await actOnEach(chosen, {
      act: (device) => act.run(client, device, reason === undefined ? {} : { reason }),
      concurrency,
      signal: controller.signal,
      onOutcome: (outcome) => outcomes.push(outcome),
    });
    clearInterval(painting);
    show(true);
    for (const area of ['devices', 'approvals', 'audit']) void cache.invalidateQueries({ queryKey: [area] });
  }

  function close(): void {
    onClose();
    setRun(null);
  }

  if (run === null) {
    return (
      <Confirm
        opened={opened}
        onClose={close}
        act={`${act.verb} of ${counted(sensible.length, 'device')}`}
        consequences={[
          ...act.consequences,
          ...(pointless > 0
            ? [`${counted(pointless, 'selected device is', 'selected devices are')} left out: there is nothing to do.`]
            : []),
        ]}
        name={String(sensible.length)}
        isPending={false}
        error={null}
        onConfirm={(reason) => void start(sensible, reason)}
      />
    );
  }
  return (
    <Modal
      opened={opened}
      onClose={close}
      title={`${act.verb} of ${counted(run.total, 'device')}`}
      size="md"
      closeOnClickOutside={run.isOver}
      closeOnEscape={run.isOver}
      withCloseButton={run.isOver}
    >
      <Results run={run} onStop={() => stopping.current?.abort()} onClose={close} />
    </Modal>
  );
}

interface ResultsProps {
  readonly run: Run;
  readonly onStop: () => void;
  readonly onClose: () => void;
}

function Results({ run: { total, outcomes, isOver }, onStop, onClose }: ResultsProps) {
  const done = outcomes.filter(({ state }) => state === 'done').length;
  const notTried = outcomes.filter(({ state }) => state === 'not_tried').length;
  const failed = outcomes.filter((outcome) => outcome.state === 'failed');
  return (
    <Stack gap="md">
      <Progress
        value={total === 0 ? 100 : (outcomes.length / total) * 100}
        color={failed.length > 0 ? 'red' : 'brand'}
        aria-label="How many have been gone through"
      />
      <Text size="sm" role="status">
        {[
          `${done.toLocaleString()} done`,
          failed.length > 0 && `${failed.length.toLocaleString()} failed`,
          notTried > 0 && `${notTried.toLocaleString()} not tried`,
          !isOver && `${(total - outcomes.length).toLocaleString()} to go`,
        ]
          .filter((part) => part !== false)
          .join(', ')}
        {isOver ? '.' : '…'}
      </Text>
      {failed.length > 0 && (
        <div>
          <Group gap="xs">
            <Text size="sm" fw={600}>
              Failed
            </Text>
            <CopyButton
              text={failed.map(({ item, error }) => `${item.device_id}\t${whyOf(error)}`).join('\n')}
              what="all failures"
            />
          </Group>
          <ul className={classes['failures']} aria-label="Failed" tabIndex={0}>
            {failed.slice(0, shownFailures).map(({ item, error }) => (
              <li key={item.device_id}>
                <strong>{item.device_id}</strong> <span>{whyOf(error)}</span>
              </li>
            ))}
            {failed.length > shownFailures && <li>and {(failed.length - shownFailures).toLocaleString()} more</li>}
          </ul>
        </div>
      )}
      <Group justify="flex-end" gap="xs">
        {isOver ? (
          <Button onClick={onClose}>Done</Button>
        ) : (
          <Button variant="default" onClick={onStop}>
            Stop
          </Button>
        )}
      </Group>
    </Stack>
  );
}

function whyOf(error: unknown): string {
  if (error instanceof ApiProblem) return `${error.title} (${error.code})`;
  return error instanceof Error ? error.message : String(error);
}
