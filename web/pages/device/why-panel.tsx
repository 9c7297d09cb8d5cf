// Why a device stands where it stands, as the API explains it: the four questions first, then each fact behind the answers.
import type { Device } from '#contracts/http/devices.ts';
import type { DeviceExplanation } from '#contracts/http/explanation.ts';
import {
  IconCertificate,
  IconFingerprint,
  IconHeartbeat,
  IconHourglassHigh,
  IconShieldQuestion,
  type Icon,
} from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useServices } from '../../data/services.tsx';
import { TierBadge } from '../../parts/badges.tsx';
import { Moment } from '../../parts/moment.tsx';
import { Loading, Panel } from '../../parts/page.tsx';
import { ProblemAlert } from '../../parts/problem.tsx';
import tones from '../../parts/tones.module.css';
import { livenessWords, tierWords, type Tone } from '../../words/states.ts';
import classes from './why-panel.module.css';

type Question = DeviceExplanation['answers'][number]['question'];
type Standing = DeviceExplanation['answers'][number]['standing'];
type Fact = DeviceExplanation['facts'][number];

const questions: Record<Question, { readonly asks: string; readonly icon: Icon }> = {
  expected: { asks: 'Is it expected?', icon: IconFingerprint },
  trusted: { asks: 'Is it still trusted?', icon: IconShieldQuestion },
  certificate: { asks: 'Is its certificate valid?', icon: IconCertificate },
  waiting: { asks: 'Whom does it wait for?', icon: IconHourglassHigh },
};
const toneOf: Record<Standing, Tone> = { good: 'good', watch: 'watch', bad: 'bad', none: 'quiet' };
const standingWords: Record<Standing, string> = { good: 'Good', watch: 'Attention', bad: 'Bad', none: 'Nothing to do' };

export function WhyPanel({ device }: { readonly device: Device }) {
  const { queries } = useServices();
  const query = useQuery(queries.explanation(device.device_id));
  const explanation = query.data;
  return (
    <Panel
      title={`Why it is ${tierWords[device.trust_tier].label.toLowerCase()}`}
      actions={<span className={classes['rule']}>Of all facts, the worst decides</span>}
      flush
    >
      {explanation === undefined && query.error === null && <Loading rows={5} label="Reading the explanation" />}
      {explanation === undefined && query.error !== null && (
        <ProblemAlert error={query.error} onRetry={() => void query.refetch()} />
      )}
      {explanation !== undefined && <Answers explanation={explanation} />}
    </Panel>
  );
}

function Answers({ explanation }: { readonly explanation: DeviceExplanation }) {
  const { answers, facts, liveness, reason } = explanation;
  const changes = facts.flatMap(({ decides, change }) => (decides && change !== null ? [change] : []));
  const heard = livenessWords[liveness.state];
  return (
    <>
      <dl className={classes['answers']}>
        {answers.map(({ question, standing, text }) => {
          const { asks, icon } = questions[question];
          return (
            <Answer key={question} asks={asks} icon={icon} tone={toneOf[standing]} standing={standingWords[standing]}>
              {text}
              {question === 'trusted' && changes.length > 0 && (
                <span className={classes['change']}>
                  <strong>What would change it:</strong> {[...new Set(changes)].join(' ')}
                </span>
              )}
              {question === 'trusted' && reason !== null && (
                <span className={classes['change']}>
                  <strong>Said with the last decision:</strong> {reason}
                </span>
              )}
            </Answer>
          );
        })}
        <Answer asks="Is it heard?" icon={IconHeartbeat} tone={heard.tone} standing={heard.label}>
          {liveness.text}{' '}
          {liveness.last_seen_at !== null && (
            <>
              Last heard <Moment at={liveness.last_seen_at} />.
            </>
          )}
        </Answer>
      </dl>
      <details className={classes['all']}>
        <summary>Every fact and setting behind this</summary>
        <ul className={classes['facts']} aria-label="Facts">
          {facts.map((fact) => (
            <FactRow key={fact.reason} fact={fact} />
          ))}
        </ul>
        <dl className={classes['settings']} aria-label="Settings">
          {explanation.settings.map(({ name, value }) => (
            <div key={name}>
              <dt>
                <code>{name}</code>
              </dt>
              <dd>{value === '' ? 'empty' : value}</dd>
            </div>
          ))}
        </dl>
      </details>
    </>
  );
}

interface AnswerProps {
  readonly asks: string;
  readonly icon: Icon;
  readonly tone: Tone;
  /** For those who see no colour. */
  readonly standing: string;
  readonly children: ReactNode;
}

function Answer({ asks, icon: AnswerIcon, tone, standing, children }: AnswerProps) {
  return (
    <div className={`${classes['answer']} ${tones[tone]}`}>
      <dt>
        <span className={classes['icon']}>
          <AnswerIcon size={18} aria-hidden />
        </span>
        {asks}
        <span className={classes['unseen']}> {standing}</span>
      </dt>
      <dd>{children}</dd>
    </div>
  );
}

function FactRow({ fact: { reason, text, at_most, decides, change, at } }: { readonly fact: Fact }) {
  return (
    <li data-decides={decides}>
      <div>
        <p>{text}</p>
        {change !== null && <p className={classes['more']}>{change}</p>}
        <p className={classes['more']}>
          <code>{reason}</code>
          {at !== null && (
            <>
              {' · '}
              <Moment at={at} />
            </>
          )}
        </p>
      </div>
      <span className={classes['bound']}>
        {decides ? 'decides' : 'at most'} <TierBadge tier={at_most} plain />
      </span>
    </li>
  );
}
