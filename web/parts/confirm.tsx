// A destructive act: says what will happen, takes a reason, and wants the name typed.
import { Button, Group, List, Modal, Stack, Text, Textarea, TextInput } from '@mantine/core';
import { useId, useState } from 'react';
import { ProblemAlert } from './problem.tsx';

interface ConfirmProps {
  readonly opened: boolean;
  readonly onClose: () => void;
  /** Title and button, as a verb with its object: "Revoke the certificate". */
  readonly act: string;
  /** Each a sentence. */
  readonly consequences: readonly string[];
  /** What has to be typed. */
  readonly name: string;
  readonly isPending: boolean;
  readonly error: unknown;
  readonly onConfirm: (reason: string | undefined) => void;
}

export function Confirm(props: ConfirmProps) {
  return (
    <Modal opened={props.opened} onClose={props.onClose} title={props.act} size="md">
      <ConfirmForm {...props} />
    </Modal>
  );
}

/** Inside the dialog, so that it starts empty each time it opens. */
function ConfirmForm({ act, consequences, name, isPending, error, onConfirm, onClose }: ConfirmProps) {
  const [typed, setTyped] = useState('');
  const [reason, setReason] = useState('');
  const id = useId();
  const matches = typed.trim() === name;
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (matches && !isPending) onConfirm(reason.trim() === '' ? undefined : reason.trim());
      }}
    >
      <Stack gap="md">
        <List size="sm" spacing={4} id={id}>
          {consequences.map((consequence) => (
            <List.Item key={consequence}>{consequence}</List.Item>
          ))}
        </List>
        <Textarea
          label="Reason"
          description="Kept in the audit trail. Optional."
          autosize
          minRows={2}
          maxLength={500}
          value={reason}
          onChange={(event) => setReason(event.currentTarget.value)}
        />
        <TextInput
          data-autofocus
          label={
            <>
              Type{' '}
              <Text span ff="monospace" size="sm" fw={600}>
                {name}
              </Text>{' '}
              to confirm
            </>
          }
          aria-describedby={id}
          autoComplete="off"
          autoCapitalize="none"
          spellCheck={false}
          value={typed}
          onChange={(event) => setTyped(event.currentTarget.value)}
        />
        {error !== null && <ProblemAlert error={error} title="It was not done" />}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" color="red" disabled={!matches} loading={isPending}>
            {act}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
