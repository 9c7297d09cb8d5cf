// Failures without clear text: message and stack trace become a payload, which the codec encrypts. Loaded by path.
import { DefaultFailureConverter } from '@temporalio/common';

export const failureConverter = new DefaultFailureConverter({ encodeCommonAttributes: true });
