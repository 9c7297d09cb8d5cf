// Text that is made to be copied: hashes, request ids, commands.
import { ActionIcon, Tooltip } from '@mantine/core';
import { useClipboard } from '@mantine/hooks';
import { IconCheck, IconCopy } from '@tabler/icons-react';
import classes from './copy.module.css';

export function CopyButton({ text, what }: { readonly text: string; readonly what: string }) {
  const clipboard = useClipboard({ timeout: 1500 });
  const label = clipboard.copied ? 'Copied' : `Copy ${what}`;
  return (
    <Tooltip label={label}>
      <ActionIcon variant="subtle" color="gray" size="sm" aria-label={label} onClick={() => clipboard.copy(text)}>
        {clipboard.copied ? <IconCheck size={14} /> : <IconCopy size={14} />}
      </ActionIcon>
    </Tooltip>
  );
}

interface CopyTextProps {
  readonly text: string;
  /** What it is, for the button's name. */
  readonly what: string;
  /** How it is shown, when not in full. */
  readonly shown?: string;
}

export function CopyText({ text, what, shown = text }: CopyTextProps) {
  return (
    <span className={classes['copy']}>
      <code className={classes['code']} title={shown === text ? undefined : text}>
        {shown}
      </code>
      <CopyButton text={text} what={what} />
    </span>
  );
}

/** A command line, with its prompt. */
export function Command({ line }: { readonly line: string }) {
  return (
    <div className={classes['command']}>
      <code>
        <span aria-hidden>$ </span>
        {line}
      </code>
      <CopyButton text={line} what="the command" />
    </div>
  );
}
