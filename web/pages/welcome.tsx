// What a visitor sees: what this is, and what to do first.
import { trustTiers } from '#contracts/states.ts';
import { useDocumentTitle } from '@mantine/hooks';
import { IconArrowRight, IconFileCheck, IconFingerprint, IconUsers } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { Brand } from '../frame/brand.tsx';
import { TierBadge } from '../parts/badges.tsx';
import { Command } from '../parts/copy.tsx';
import { tierWords } from '../words/states.ts';
import classes from './welcome.module.css';
import { LinkButton } from '../parts/link-button.tsx';

const promises = [
  {
    icon: IconFingerprint,
    title: 'Every device proves itself',
    text: 'It connects with its own certificate, which is pinned when it is approved. A heartbeat is counted once, and a copy of it is refused.',
  },
  {
    icon: IconUsers,
    title: 'People decide',
    text: 'Enrollments and certificate changes wait for as many different people as policy asks, and nobody decides what they asked for.',
  },
  {
    icon: IconFileCheck,
    title: 'Every decision stays on record',
    text: 'Each device is one durable workflow with its history, and each act is an audit event in a chain that can be verified.',
  },
] as const;

export function Welcome() {
  useDocumentTitle('Sentinel');
  return (
    <div className={classes['page']}>
      <header className={classes['top']}>
        <Brand />
        <nav aria-label="Main">
          <a href="/docs/" className={classes['quiet']}>
            Documentation
          </a>
          <a href="/api/docs" className={`${classes['quiet']} ${classes['roomy']}`}>
            API reference
          </a>
          <LinkButton to="/login" size="compact-md" variant="default">
            Sign in
          </LinkButton>
        </nav>
      </header>
      <main className={classes['main']}>
        <section className={classes['hero']}>
          <div>
            <h1>Know which devices to trust, and why.</h1>
            <p>
              Sentinel gives each device a verified identity, has people approve it, watches that it stays what it was,
              and can take its trust away at once.
            </p>
            <LinkButton to="/login" size="md" rightSection={<IconArrowRight size={18} aria-hidden />}>
              Sign in to the console
            </LinkButton>
          </div>
          <Ladder />
        </section>

        <ul className={classes['promises']}>
          {promises.map(({ icon: PromiseIcon, title, text }) => (
            <li key={title}>
              <PromiseIcon size={22} stroke={1.6} aria-hidden />
              <h2>{title}</h2>
              <p>{text}</p>
            </li>
          ))}
        </ul>

        <section className={classes['steps']} aria-labelledby="first-steps">
          <h2 id="first-steps">What to do first</h2>
          <ol>
            <Step title="Sign in">
              <p>
                <code>npm start</code> made the account <code>admin</code> and said which file holds its password.
                Installations with accounts of their own use those.
              </p>
            </Step>
            <Step title="Look at the fleet">
              <p>A small simulated fleet reports from the start, with real certificates over real connections.</p>
            </Step>
            <Step title="Decide what waits">
              <p>New devices wait in the approvals queue. You see exactly what you approve before you do.</p>
            </Step>
            <Step title="Connect a device of your own">
              <p>The development authority issues its certificate; the first heartbeat of its agent opens a review.</p>
              <Command line="npx --no-install sentinel ca issue my-device --out my-device" />
              <Command line="npm run agent -- run --identity my-device" />
            </Step>
          </ol>
        </section>
      </main>
    </div>
  );
}

/** The five tiers: the whole vocabulary of the console at a glance. */
function Ladder() {
  return (
    <ol className={classes['ladder']} aria-label="Trust tiers, highest first">
      {trustTiers.toReversed().map((tier) => (
        <li key={tier}>
          <TierBadge tier={tier} />
          <span>{tierWords[tier].meaning}</span>
        </li>
      ))}
    </ol>
  );
}

function Step({ title, children }: { readonly title: string; readonly children: ReactNode }) {
  return (
    <li>
      <div>
        <h3>{title}</h3>
        {children}
      </div>
    </li>
  );
}
