// Verifies the chain on demand and says what was found.
import type { Integrity } from '#contracts/http/audit.ts';
import { Button, Group } from '@mantine/core';
import { IconShieldCheck, IconShieldX } from '@tabler/icons-react';
import { useMutation } from '@tanstack/react-query';
import { useBarrier, useServices } from '../../data/services.tsx';
import { Fact, Facts } from '../../parts/facts.tsx';
import { FullMoment } from '../../parts/moment.tsx';
import { Note, Panel } from '../../parts/page.tsx';
import { ProblemAlert } from '../../parts/problem.tsx';
import { Barrier } from '../../parts/barrier.tsx';
import { counted } from '../../words/names.ts';
import classes from './integrity-panel.module.css';

export function IntegrityPanel() {
  const { client } = useServices();
  const barrier = useBarrier('audit.verify');
  // Asked for, never automatic: the full check reads the whole chain.
  const verify = useMutation({ mutationFn: (full: boolean) => client.audit.integrity(full ? { full } : {}) });
  const report = verify.data;
  return (
    <Panel
      title="Integrity"
      actions={
        barrier === null && (
          <Group gap="xs">
            <Button
              size="compact-sm"
              variant="default"
              loading={verify.isPending && !verify.variables}
              disabled={verify.isPending}
              onClick={() => verify.mutate(false)}
            >
              Verify
            </Button>
            <Button
              size="compact-sm"
              variant="default"
              loading={verify.isPending && verify.variables}
              disabled={verify.isPending}
              onClick={() => verify.mutate(true)}
            >
              Verify from the start
            </Button>
          </Group>
        )
      }
    >
      {barrier !== null && <Barrier text={barrier} />}
      {verify.error !== null && <ProblemAlert error={verify.error} title="The trail was not verified" />}
      <div role="status">
        {report !== undefined && <Report report={report} />}
        {report === undefined && verify.error === null && barrier === null && (
          <Note>
            Verifying recomputes every hash and every link from the last signed checkpoint, or from the first event.
          </Note>
        )}
      </div>
    </Panel>
  );
}

function Report({ report }: { readonly report: Integrity }) {
  const Mark = report.valid ? IconShieldCheck : IconShieldX;
  return (
    <div className={classes['report']}>
      <p className={classes['verdict']} data-valid={report.valid}>
        <Mark size={20} aria-hidden />
        <strong>{report.valid ? 'The chain is intact' : 'The chain is broken'}</strong>
      </p>
      {!report.valid && (
        <p className={classes['broken']}>
          {report.first_broken_sequence !== null && `First broken at event ${report.first_broken_sequence}. `}
          {report.reason}
        </p>
      )}
      <Facts>
        <Fact name="Checked">
          {counted(report.checked, 'event')}, from {report.verified_from} to {report.head_sequence}
        </Fact>
        <Fact name="Not sealed yet">{counted(report.unsealed, 'event')}</Fact>
        <Fact name="Last checkpoint">
          {report.checkpoint === null ? (
            'None yet'
          ) : (
            <>
              Event {report.checkpoint.sequence}, <FullMoment at={report.checkpoint.at} />, key{' '}
              <code>{report.checkpoint.key_id}</code>
            </>
          )}
        </Fact>
      </Facts>
    </div>
  );
}
