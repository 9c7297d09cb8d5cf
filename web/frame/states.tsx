// What stands in place of a page: while it opens, when it does not exist, and when it failed.
import { Anchor, Center, Loader, Stack } from '@mantine/core';
import { IconMapQuestion } from '@tabler/icons-react';
import { useQueryClient } from '@tanstack/react-query';
import { useRouter, type ErrorComponentProps } from '@tanstack/react-router';
import { Nothing, Page } from '../parts/page.tsx';
import { ProblemAlert } from '../parts/problem.tsx';
import { LinkButton } from '../parts/link-button.tsx';

export function Opening() {
  return (
    <Center mih="50vh" role="status" aria-label="Opening the page">
      <Loader size="sm" />
    </Center>
  );
}

export function NotFound() {
  return (
    <Page title="Not found" heading="There is no such page">
      <Nothing
        icon={IconMapQuestion}
        title="Nothing is at this address"
        actions={
          <LinkButton to="/" variant="default">
            Go to the start
          </LinkButton>
        }
      >
        The address may be mistyped, or the page may have moved.
      </Nothing>
    </Page>
  );
}

export function Failure({ error, reset }: ErrorComponentProps) {
  const router = useRouter();
  const cache = useQueryClient();
  async function again(): Promise<void> {
    await cache.resetQueries();
    reset();
    await router.invalidate();
  }
  return (
    <Stack maw={640} mx="auto" p="md" mt="8vh">
      <ProblemAlert error={error} onRetry={() => void again()} />
      <Anchor href="/" size="sm">
        Load the console anew
      </Anchor>
    </Stack>
  );
}
