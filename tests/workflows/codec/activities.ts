// Activities of the codec test: they give back what they are given, or fail with it.
import { ApplicationFailure } from '@temporalio/common';
import { heartbeat } from '@temporalio/activity';

export const codecActivities = {
  async echo(text: string): Promise<string> {
    heartbeat({ progress: 'canary-heartbeat' });
    return text;
  },
  async refuse(message: string): Promise<never> {
    throw ApplicationFailure.nonRetryable(message, 'echo.refused', 'canary-failure-details');
  },
};
export type CodecActivities = typeof codecActivities;
