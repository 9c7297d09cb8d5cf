// The identity of one device as people decided it: pending, approved with one pinned certificate, rejected, lapsed or retired.
import type { CommitRequirement } from '#contracts/actor.ts';
import { assign, setup } from 'xstate';
import type { RecordEffect } from './actor.ts';
import { confirm, dispute, takeKey } from './device-attestation.ts';
import {
  bindReviewed,
  changeReview,
  closeReview,
  noteRevocation,
  pinPresented,
  pinReviewed,
  rejectHardware,
  rejectReviewed,
  renewReview,
  retire,
  startAgain,
  startEnrollment,
  startHardwareReview,
  startReappraisal,
  startRotation,
  takeNews,
} from './device-changes.ts';
import { initialContext, type DeviceContext, type DeviceInput } from './device-context.ts';
import {
  consumeApproval,
  fetchNews,
  lookForEvidence,
  openApproval,
  readApproval,
  recordApproved,
  recordBound,
  recordConfirmed,
  recordDisputed,
  recordHardwareRejected,
  recordIdentity,
  recordKeyReplaced,
  recordPending,
  recordRejected,
  recordRevoked,
  recordRotated,
  recordUnusable,
  verifyEvidence,
  withdrawApproval,
} from './device-effects.ts';
import type { DeviceCall, DeviceEvent } from './device-events.ts';
import { deviceGuards } from './device-guards.ts';

export const deviceMachine = setup({
  types: { context: {} as DeviceContext, events: {} as DeviceEvent, input: {} as DeviceInput },
  actions: {
    record: (_args, _params: RecordEffect) => {},
    require: (_args, _params: CommitRequirement) => {},
    call: (_args, _params: DeviceCall | null) => {},
    takeNews: assign(takeNews),
    noteRevocation: assign(noteRevocation),
    startEnrollment: assign(startEnrollment),
    startRotation: assign(startRotation),
    startReappraisal: assign(startReappraisal),
    startHardwareReview: assign(startHardwareReview),
    changeReview: assign(changeReview),
    renewReview: assign(renewReview),
    closeReview: assign(closeReview),
    clearDeadline: assign({ deadlines: {} }),
    pinPresented: assign(pinPresented),
    pinReviewed: assign(pinReviewed),
    bindReviewed: assign(bindReviewed),
    rejectReviewed: assign(rejectReviewed),
    rejectHardware: assign(rejectHardware),
    confirm: assign(confirm),
    takeKey: assign(takeKey),
    dispute: assign(dispute),
    restrict: assign({ tier: 'restricted', attested_generation: null }),
    startAgain: assign(startAgain),
    retire: assign(retire),
  },
  guards: deviceGuards,
}).createMachine({
  id: 'device',
  initial: 'pending',
  context: ({ input }) => initialContext((input as DeviceInput | undefined) ?? { project: '', id: '' }),
  on: {
    'news.announced': { actions: fetchNews },
    'approval.closed': { guard: 'awaited', actions: readApproval },
    'device.reset': {
      guard: 'newRequest',
      target: '.pending',
      actions: [
        withdrawApproval('the device was reset'),
        'startAgain',
        recordIdentity('device.identity.reset', ({ context }) => ({ reason: context.reason })),
      ],
    },
    'device.retire': {
      guard: 'newRequest',
      target: '.retired',
      actions: [
        withdrawApproval('the device was retired'),
        'retire',
        recordIdentity('device.identity.retired', ({ context }) => ({ reason: context.reason })),
      ],
    },
    'deadline.passed': { guard: 'underReview', actions: ['clearDeadline', readApproval] },
    // The run before this one may have died between a commit and the calls that follow from it.
    'actor.adopted': [
      { guard: 'underReview', actions: [openApproval, readApproval, fetchNews] },
      { actions: fetchNews },
    ],
  },
  states: {
    pending: {
      on: {
        // The approval was used before: this run knows less than the store. What the device presents next is decided anew.
        'commit.refused': { guard: 'underReview', target: 'expired', actions: ['closeReview', recordUnusable] },
        'news.fetched': [
          { guard: 'newsOutdated', actions: fetchNews },
          {
            guard: 'reviewedRevoked',
            target: 'expired',
            actions: [withdrawApproval('the certificate was revoked'), 'closeReview', 'takeNews', recordRevoked],
          },
          {
            guard: 'windowOpen',
            target: 'approved',
            actions: ['pinPresented', 'takeNews', recordApproved, lookForEvidence],
          },
          { guard: 'candidate', actions: ['startEnrollment', 'takeNews', recordPending, openApproval] },
          { guard: 'reviewOutdated', actions: ['changeReview', 'takeNews', recordPending, openApproval] },
          { actions: 'takeNews' },
        ],
        'approval.read': [
          {
            guard: 'approvedRead',
            target: 'approved',
            actions: [consumeApproval, 'pinReviewed', recordApproved, lookForEvidence],
          },
          {
            guard: 'rejectedRead',
            target: 'rejected',
            actions: ['rejectReviewed', 'restrict', recordRejected],
          },
          {
            guard: 'lapsedRead',
            target: 'expired',
            actions: ['closeReview', recordIdentity('device.identity.expired')],
          },
          { guard: 'outdatedRead', actions: ['renewReview', recordPending, openApproval] },
          {
            guard: 'lostRead',
            target: 'expired',
            actions: [withdrawApproval('the time is up'), 'closeReview', recordIdentity('device.identity.expired')],
          },
        ],
      },
    },
    approved: {
      on: {
        'commit.refused': { guard: 'underReview', actions: ['closeReview', recordUnusable] },
        'news.fetched': [
          { guard: 'newsOutdated', actions: fetchNews },
          { guard: 'pinnedRevoked', actions: ['noteRevocation', fetchNews] },
          {
            guard: 'reviewedRevoked',
            actions: [
              withdrawApproval('the certificate was revoked'),
              'closeReview',
              'takeNews',
              recordRevoked,
              fetchNews,
            ],
          },
          { guard: 'candidate', actions: ['startRotation', 'takeNews', recordPending, openApproval, verifyEvidence] },
          {
            guard: 'reviewOutdated',
            actions: ['changeReview', 'takeNews', recordPending, openApproval, verifyEvidence],
          },
          {
            guard: 'needsMoreApprovers',
            actions: ['startReappraisal', 'takeNews', recordPending, openApproval],
          },
          { guard: 'unboundHardware', actions: ['startHardwareReview', 'takeNews', recordPending, openApproval] },
          { actions: ['takeNews', verifyEvidence] },
        ],
        // Nothing else makes a device trusted.
        'evidence.verified': [
          { guard: 'evidenceProven', actions: ['confirm', recordConfirmed] },
          { guard: 'evidenceOfAnotherKey', actions: [recordKeyReplaced, 'takeKey', 'confirm', recordConfirmed] },
          { guard: 'evidenceDisputed', actions: ['dispute', recordDisputed] },
        ],
        'approval.read': [
          {
            guard: 'approvedRotationRead',
            actions: [consumeApproval, 'pinReviewed', recordApproved, recordRotated, fetchNews],
          },
          { guard: 'approvedHardwareRead', actions: [consumeApproval, 'bindReviewed', recordBound, fetchNews] },
          { guard: 'approvedRead', actions: [consumeApproval, 'pinReviewed', recordApproved, fetchNews] },
          {
            guard: 'rejectedEnrollmentRead',
            target: 'rejected',
            actions: ['rejectReviewed', 'restrict', recordRejected],
          },
          { guard: 'rejectedHardwareRead', actions: ['rejectHardware', recordHardwareRejected] },
          { guard: 'rejectedRead', actions: ['rejectReviewed', recordRejected] },
          { guard: 'lapsedRead', actions: ['closeReview', recordIdentity('device.identity.expired')] },
          { guard: 'outdatedRead', actions: ['renewReview', recordPending, openApproval] },
          {
            guard: 'lostRead',
            actions: [withdrawApproval('the time is up'), 'closeReview', recordIdentity('device.identity.expired')],
          },
        ],
      },
    },
    rejected: { on: { 'news.fetched': { actions: 'takeNews' } } },
    // Nobody decided in time. What the device presents next opens a new review.
    expired: {
      on: {
        'news.fetched': [
          { guard: 'newsOutdated', actions: fetchNews },
          {
            guard: 'windowOpen',
            target: 'approved',
            actions: ['pinPresented', 'takeNews', recordApproved, lookForEvidence],
          },
          {
            guard: 'candidate',
            target: 'pending',
            actions: ['startEnrollment', 'takeNews', recordPending, openApproval],
          },
          { actions: 'takeNews' },
        ],
      },
    },
    retired: { on: { 'news.fetched': { actions: 'takeNews' } } },
  },
});
