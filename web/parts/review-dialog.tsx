// A review in a dialog, to decide it without leaving the page.
import { Modal, Stack } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useServices } from '../data/services.tsx';
import { kindWords } from '../words/states.ts';
import { Loading } from './page.tsx';
import { ProblemAlert } from './problem.tsx';
import { ReviewForm, ReviewSubject } from './review.tsx';
import { Votes } from './votes.tsx';

interface ReviewDialogProps {
  readonly id: string;
  readonly opened: boolean;
  readonly onClose: () => void;
}

export function ReviewDialog({ id, opened, onClose }: ReviewDialogProps) {
  const { queries } = useServices();
  const { data: approval, error } = useQuery({ ...queries.approval(id), enabled: opened });
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      size="lg"
      title={approval === undefined ? 'Review' : `${kindWords[approval.kind].label} of ${approval.subject.id}`}
    >
      {approval === undefined ? (
        error === null ? (
          <Loading rows={5} label="Reading the review" />
        ) : (
          <ProblemAlert error={error} />
        )
      ) : (
        <Stack gap="lg">
          <ReviewSubject approval={approval} />
          <Votes approval={approval} />
          <ReviewForm approval={approval} via="device" onDone={onClose} />
        </Stack>
      )}
    </Modal>
  );
}
