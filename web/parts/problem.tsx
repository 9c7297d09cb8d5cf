// A refusal or failure, said plainly: what happened, what to do, and what to quote when asking for help.
import { ApiProblem } from '#client/api-problem.ts';
import { Alert, Button, Group, Stack, Text } from '@mantine/core';
import { IconAlertTriangle, IconRefresh } from '@tabler/icons-react';
import { CopyText } from './copy.tsx';
import classes from './problem.module.css';

interface ProblemAlertProps {
  readonly error: unknown;
  /** What was tried, as in "The device was not revoked". */
  readonly title?: string;
  readonly onRetry?: () => void;
}

export function ProblemAlert({ error, title, onRetry }: ProblemAlertProps) {
  const problem = asProblem(error);
  return (
    <Alert
      role="alert"
      classNames={{ root: classes['root'] ?? '', icon: classes['icon'] ?? '', title: classes['title'] ?? '' }}
      icon={<IconAlertTriangle size={18} aria-hidden />}
      title={title ?? problem.title}
    >
      <Stack gap={6}>
        {title !== undefined && <Text size="sm">{problem.title}.</Text>}
        {problem.detail !== problem.title && <Text size="sm">{problem.detail}</Text>}
        {problem.errors.map(({ field, message }) => (
          <Text key={`${field} ${message}`} size="sm">
            <code>{field}</code> {message}
          </Text>
        ))}
        <Text size="sm">{problem.advice}</Text>
        {problem.retryAfterSeconds !== null && <Text size="sm">Try again in {problem.retryAfterSeconds} s.</Text>}
        <Group gap="md" className={classes['facts'] ?? ''}>
          <span>
            Code <CopyText text={problem.code} what="the problem code" />
          </span>
          {problem.requestId !== null && (
            <span>
              Request <CopyText text={problem.requestId} what="the request id" />
            </span>
          )}
        </Group>
        {onRetry !== undefined && (
          <Group>
            <Button
              size="compact-sm"
              variant="default"
              leftSection={<IconRefresh size={14} aria-hidden />}
              onClick={onRetry}
            >
              Try again
            </Button>
          </Group>
        )}
      </Stack>
    </Alert>
  );
}

/** Anything thrown, as a problem; a mistake of the console itself has no advice better than to load it again. */
function asProblem(error: unknown): ApiProblem {
  if (error instanceof ApiProblem) return error;
  return new ApiProblem({
    code: 'internal.error',
    status: 0,
    title: 'The console failed',
    detail: error instanceof Error ? error.message : String(error),
    advice: 'Load the page again. If it fails again, report the text above.',
    cause: error,
  });
}
