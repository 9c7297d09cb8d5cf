// The evidence of a device: where it stands and why, what people have bound it to, and what its last answers came to.
import type { AttestationState } from '#contracts/states.ts';
import type { AttestationStatus } from '#contracts/http/attestation.ts';
import { useQuery } from '@tanstack/react-query';
import { useServices } from '../../data/services.tsx';
import { AttestationBadge, VerdictBadge } from '../../parts/badges.tsx';
import { CopyText } from '../../parts/copy.tsx';
import { Fact, Facts } from '../../parts/facts.tsx';
import { FullMoment, Moment } from '../../parts/moment.tsx';
import { Loading, Note, Panel } from '../../parts/page.tsx';
import { ProblemAlert } from '../../parts/problem.tsx';
import { providerWords } from '../../words/hardware.ts';
import { attestationWords } from '../../words/states.ts';
import classes from './attestation-panel.module.css';

interface AttestationPanelProps {
  readonly deviceId: string;
  readonly state: AttestationState;
}

export function AttestationPanel({ deviceId, state }: AttestationPanelProps) {
  const { queries } = useServices();
  const status = useQuery(queries.attestation(deviceId));
  const explanation = useQuery(queries.explanation(deviceId));
  const said = explanation.data?.facts.filter(({ about }) => about === 'attestation').map(({ text }) => text) ?? [];
  return (
    <Panel title="Attestation and hardware" aside={<AttestationBadge state={state} />}>
      <p className={classes['why']}>{said.length === 0 ? attestationWords[state].meaning : said.join(' ')}</p>
      {status.data === undefined && status.error === null && <Loading rows={3} label="Reading the attestation" />}
      {status.data === undefined && status.error !== null && (
        <ProblemAlert error={status.error} onRetry={() => void status.refetch()} />
      )}
      {status.data !== undefined && <Standing status={status.data} />}
      {status.data !== undefined && status.data.standing !== null && <Verdicts deviceId={deviceId} />}
    </Panel>
  );
}

function Standing({
  status: { provider, required, standing, binding, registers },
}: {
  readonly status: AttestationStatus;
}) {
  const shown = standing !== null && standing.key_id !== null && standing.key_id !== binding?.key_id ? standing : null;
  return (
    <Facts>
      {provider !== null && (
        <Fact name="Asked for">
          {providerWords[provider]}
          {required ? '' : ', not required'}
        </Fact>
      )}
      {registers !== null && (
        <Fact name="Registers">
          {Object.entries(registers)
            .map(([bank, indexes]) => `${bank}: ${indexes.join(', ')}`)
            .join('; ')}
        </Fact>
      )}
      {standing !== null && (
        <Fact name="Verified">
          <Moment at={standing.verified_at} empty="Never" />
        </Fact>
      )}
      {standing?.state === 'verified' && standing.fresh_until !== null && (
        <Fact name="Counts until">
          <FullMoment at={standing.fresh_until} />
        </Fact>
      )}
      {binding === null && <Fact name="Bound to">Nothing; people have approved no attestation key yet</Fact>}
      {binding !== null && <Key {...binding} name="Bound to key" what="the bound" hardware="Bound to hardware" />}
      {shown !== null && <Key {...shown} name="Shown key" what="the shown" hardware="Shown hardware" />}
      {standing !== null && standing.manufacturer !== null && <Fact name="Made by">{standing.manufacturer}</Fact>}
    </Facts>
  );
}

interface KeyProps {
  readonly name: string;
  readonly hardware: string;
  readonly what: string;
  readonly key_id: string | null;
  readonly binding_id: string | null;
}

function Key({ name, hardware, what, key_id, binding_id }: KeyProps) {
  return (
    <>
      <Fact name={name}>{key_id === null ? 'None' : <CopyText text={key_id} what={`${what} key`} />}</Fact>
      <Fact name={hardware}>
        {binding_id === null ? 'Not known' : <CopyText text={binding_id} what={`${what} hardware`} />}
      </Fact>
    </>
  );
}

function Verdicts({ deviceId }: { readonly deviceId: string }) {
  const { queries } = useServices();
  const { data } = useQuery(queries.verdicts(deviceId));
  if (data === undefined) return null;
  return (
    <div className={classes['verdicts']}>
      <h3>Last verdicts</h3>
      {data.items.length === 0 ? (
        <Note>No evidence was judged yet.</Note>
      ) : (
        <ol aria-label="Last verdicts">
          {data.items.map(({ verdict, at, outcome, changed, unrecorded, detail }) => (
            <li key={verdict}>
              <span>
                <VerdictBadge outcome={outcome} plain /> <Moment at={at} />
                {changed && <small>moved the device</small>}
              </span>
              {unrecorded > 0 && <small>Before it, {unrecorded} more that moved nothing were only counted.</small>}
              {detail !== null && <small>{detail}</small>}
            </li>
          ))}
        </ol>
      )}
    </div>
  );
}
