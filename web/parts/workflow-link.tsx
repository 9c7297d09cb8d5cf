// The link from an object to the durable workflow behind it.
import { Button, Tooltip } from '@mantine/core';
import { IconExternalLink } from '@tabler/icons-react';
import { useBarrier } from '../data/services.tsx';

export function WorkflowLink({ workflow }: { readonly workflow: { id: string; url: string | null } }) {
  const barrier = useBarrier('workflow.read');
  const address = webAddress(workflow.url);
  if (address === null || barrier !== null) {
    return (
      <Tooltip
        multiline
        maw={300}
        label={barrier ?? 'Temporal has let go of this workflow. The history on this page is kept for ever.'}
      >
        <Button
          variant="default"
          size="compact-md"
          data-disabled
          aria-disabled
          onClick={(event) => event.preventDefault()}
        >
          Workflow
        </Button>
      </Tooltip>
    );
  }
  return (
    <Button
      component="a"
      href={address}
      target="_blank"
      rel="noopener"
      variant="default"
      size="compact-md"
      title={workflow.id}
      rightSection={<IconExternalLink size={15} aria-hidden />}
    >
      Workflow
    </Button>
  );
}

/** The address if it leads to a web page, whatever the API said. */
function webAddress(text: string | null): string | null {
  const url = text === null ? null : URL.parse(text, window.location.origin);
  return url !== null && (url.protocol === 'https:' || url.protocol === 'http:') ? url.href : null;
}
