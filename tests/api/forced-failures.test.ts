// Every check of a heartbeat, a sign-in and a vote is made to fail in every way: the answer is a refusal each time.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hash as argon2 } from '@node-rs/argon2';
import type { ApiDeps } from '#api/app.ts';
import { createDeviceIdentification, type DeviceIdentificationDeps } from '#api/device-identity.ts';
import { batcherDefaults, createBatcher } from '#api/heartbeat-batcher.ts';
import type { Refused } from '#api/refusals.ts';
import type { SignInDeps } from '#api/sign-in.ts';
import { systemClock } from '#contracts/deps.ts';
import { createDeviceRevocation, type DeviceRevocation, type DeviceRevocationDeps } from '#api/revocation.ts';
import { certificateVerification, parseTrustAnchors, verifyDeviceCertificate } from '#protocols/device-certificate.ts';
import { withSteps } from '#protocols/verification.ts';
import type { HeartbeatItem, HeartbeatVerdict } from '#store/heartbeat.ts';
import { fakeApi, password, problemOf } from '#tests/fakes/api-over-fakes.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import { openApproval, pendingDevice, reviewId } from '#tests/fakes/fake-registry.ts';
import type { Cleanup } from '#tests/harness/cleanup.ts';
import { failures, failuresAtOnce, functionsIn, withFunction, type Failure } from '#tests/harness/forced-failure.ts';
import { forgeAuthority, forgeLeaf } from '#tests/unit/protocols/certificate-forge.ts';

/**
 * The ways in which a check can fail; a text says why a function is none. A way that is not among them is an answer
 * that means something, and is tested where that meaning is.
 */
type Roles = Readonly<Record<string, readonly Failure[] | string>>;

const inEveryWay = Object.keys(failures) as Failure[];
const withoutAnswer = ['throws', 'rejects', 'never answers'] as const;

/** One test for each check, which lets it fail in one way after the other. */
function forEachCheck(
  roles: Roles,
  begin: (t: Cleanup, path: string, act: () => unknown) => Promise<(way: Failure) => Promise<void>>,
): void {
  for (const [path, ways] of Object.entries(roles)) {
    if (typeof ways === 'string') continue;
    it(`${path} refuses when it ${ways.join(', ')}`, async (t) => {
      let present: Failure = 'throws';
      const refuses = await begin(t, path, () => failures[present]());
      for (const way of ways) {
        present = way;
        await refuses(way);
      }
    });
  }
}

/** Nothing is as sure as an answer that never comes, so the limits are short here. */
const limitMs = 60;

const life = { notBefore: new Date('2026-01-01'), notAfter: new Date('2027-01-01') };
const authority = await forgeAuthority('Devices', life);
const leaf = await forgeLeaf(authority, { ...life, subject: [{ CN: ['device-1'] }] });
const anchorSet = () => {
  const anchors = parseTrustAnchors(authority.certificatePem);
  return {
    anchors,
    pems: [authority.certificatePem],
    projectOf: new Map(anchors.map(({ fingerprint }) => [fingerprint, 'default'])),
  };
};

/** What asks whether a certificate was revoked, over these lists and responders. */
function revoking(t: Cleanup, parts: Pick<DeviceRevocationDeps, 'lists' | 'statuses'>): DeviceRevocation {
  const nothing = async (): Promise<void> => {};
  const revocation = createDeviceRevocation({
    ...parts,
    ...{ statusLimitMs: limitMs, anchors: anchorSet, issuers: [], pinned: async () => [], countPinned: async () => 0 },
    ...{ revoke: nothing, notify: () => {}, audit: nothing, blastRadiusPercent: 10, clock: systemClock },
    random: { uuid: () => '' },
    log: fakeLog(),
    watchMs: 3_600_000,
  });
  t.after(() => revocation.close());
  return revocation;
}

const accepted: HeartbeatVerdict = {
  code: 'accepted',
  first_contact: false,
  signal: false,
  acknowledged: true,
  identity_verified: true,
  grant: { state: 'approved', tier: 'monitored', epoch: 1 },
  pinned_not_after: '2027-01-01T00:00:00.000Z',
  pinned_revoked: false,
};

describe('the checks of a heartbeat', () => {
  /** What the route asks; what identifies a device and what judges its heartbeat, one level deeper. */
  interface Parts extends Omit<ApiDeps['heartbeat'], 'identification' | 'revocation' | 'batcher' | 'refusals'> {
    readonly identification: DeviceIdentificationDeps;
    readonly revocation: Pick<DeviceRevocationDeps, 'lists' | 'statuses'>;
    readonly judge: (items: readonly HeartbeatItem[]) => Promise<readonly HeartbeatVerdict[]>;
  }

  /** A device behind a proxy, so that its certificate comes with the request; everything that judges it is real. */
  async function beating(t: Cleanup, change: (parts: Parts) => Parts = (parts) => parts) {
    const refused: Refused[] = [];
    let parts: Parts | undefined;
    const { app } = await fakeApi(t, {
      proxy: {
        SENTINEL_TRUST_PROXY_CERT_HEADERS: true,
        SENTINEL_TRUSTED_PROXY_ADDRESSES: ['127.0.0.1'],
        SENTINEL_PROXY_SHARED_SECRET: 'shared',
      },
      change: (deps) => {
        const { identification: _identification, batcher: _batcher, refusals: _refusals, ...others } = deps.heartbeat;
        parts = change({
          ...others,
          actors: { catchUp: others.actors.catchUp },
          random: { uuid: others.random.uuid },
          identification: {
            ...{ anchors: anchorSet, proxy: others.proxy, neededHeaders: [] },
            ...{ verify: verifyDeviceCertificate, clock: deps.clock },
          },
          revocation: {
            lists: {
              require: () => true,
              current: () => [],
              state: () => ({ files: 0, problems: [], outdated: [], older: [], nextUpdate: null }),
            },
            // As one that is asked for, and not known yet.
            statuses: { require: async () => true as const, outage: () => ({ responders: [], refused: 0 }) },
          },
          judge: async (items) => items.map(() => accepted),
        });
        const batcher = createBatcher<HeartbeatItem, HeartbeatVerdict>(
          {
            judge: parts.judge,
            nameOf: ({ device_id }) => device_id,
            clock: systemClock,
            metrics: deps.metrics.metrics,
          },
          { ...batcherDefaults, maximumInFlight: 1, deadlineMs: limitMs },
        );
        return {
          ...deps,
          heartbeat: {
            ...parts,
            identification: createDeviceIdentification(parts.identification),
            revocation: revoking(t, parts.revocation),
            batcher,
            refusals: { record: async (refusal) => void refused.push(refusal) },
          },
        };
      },
    });
    const send = () =>
      app.inject({
        method: 'POST',
        url: '/api/heartbeat',
        payload: { device_id: 'device-1', heartbeat_counter: 1 },
        headers: {
          'x-sentinel-proxy-secret': 'shared',
          'x-ssl-client-verify': 'SUCCESS',
          'x-ssl-client-cert': encodeURIComponent(leaf.certificatePem),
        },
      });
    if (parts === undefined) throw new TypeError('the parts are made with the API');
    return { send, refused, parts };
  }

  const roles: Roles = {
    'identification.anchors': failuresAtOnce,
    'identification.proxy.isSource': failuresAtOnce,
    'identification.proxy.clientAddress': 'only says where the request came from',
    'identification.clock.now': failuresAtOnce,
    'identification.verify': failuresAtOnce,
    judge: inEveryWay,
    'revocation.lists.require': failuresAtOnce,
    'revocation.lists.current': 'what the sweep after a change looks at',
    'revocation.lists.state': 'what the sweep after a change looks at',
    'revocation.statuses.require': inEveryWay,
    'revocation.statuses.outage': 'what the fleet is told of',
    'asking.submit': 'asks for evidence; only where evidence is asked for',
    'notifier.notify': 'tells the actor of what was judged',
    'notifier.mayStart': 'limits what the actors are told',
    'notifier.close': 'not asked',
    'actors.catchUp': 'asks the actor to look; without it the device waits',
    'proxy.isSource': 'identification.proxy.isSource',
    'proxy.clientAddress': 'only says where the request came from',
    'clock.now': 'the tier that is shown, computed after the verdict',
    'random.uuid': 'the name of a request to the actor',
  };

  it('are these, and no other', async (t) => {
    const { send, parts } = await beating(t);
    assert.deepEqual(functionsIn(parts).toSorted(), Object.keys(roles).toSorted());
    assert.equal((await send()).statusCode, 200, 'with every check as it is');
  });

  forEachCheck(roles, async (t, path, act) => {
    const { send, refused } = await beating(t, (parts) => withFunction(parts, path, act));
    return async (way) => {
      const { code } = problemOf(await send());
      const noted = refused.splice(0).map((one) => [one.code, one.deviceId]);
      if (path === 'judge' && way === 'never answers') {
        // Nothing is said about the device, and the store that would hold it is what does not answer.
        assert.deepEqual([code, noted], ['service.unavailable', []]);
        return;
      }
      assert.match(code, /^(internal\.error|proxy\.untrusted|certificate\.(untrusted|ocsp_unavailable))$/, way);
      assert.deepEqual(noted, [[code, 'device-1']], way);
    };
  });

  for (const { name } of certificateVerification.steps) {
    it(`the step ${name} of its certificate refuses when it ${failuresAtOnce.join(', ')} (SA-03)`, async (t) => {
      let present: Failure = 'throws';
      const act = () => failures[present]();
      const steps = certificateVerification.steps.map((step) => (step.name === name ? { ...step, take: act } : step));
      const failing: typeof certificateVerification = withSteps(steps);
      const { send, refused } = await beating(t, (parts) => ({
        ...parts,
        identification: {
          ...parts.identification,
          verify: (given) => verifyDeviceCertificate(given, failing),
        },
      }));
      for (const way of failuresAtOnce) {
        present = way;
        assert.equal(problemOf(await send()).code, 'internal.error', way);
        assert.deepEqual(
          refused.splice(0).map((one) => [one.code, one.deviceId]),
          [['internal.error', 'device-1']],
          way,
        );
      }
    });
  }
});

describe('the checks of a sign-in', () => {
  const cheap = argon2(password, { memoryCost: 8, timeCost: 1, parallelism: 1, outputLen: 32 });
  const roles: Roles = {
    'directory.find': inEveryWay,
    'directory.all': 'not asked',
    'limiter.attempt': inEveryWay,
    'limiter.attemptCode': inEveryWay,
    'passwords.verifyPassword': inEveryWay,
    'passwords.verifyUnknownUser': 'spends the time of a check for nobody, who is refused anyway',
    'passwords.hashPassword': 'makes a better hash of what was right',
    // Without a better hash the configured one counts.
    'rehashes.find': withoutAnswer,
    'rehashes.save': 'keeps a better hash',
    verifyTotp: failuresAtOnce,
    useTotpStep: inEveryWay,
    openSession: withoutAnswer,
    audit: 'only what is refused already',
    signToken: withoutAnswer,
    'clock.now': 'the time of the process',
    'random.bytes': 'not asked',
    'random.uuid': 'the name of the session',
  };

  async function signingIn(t: Cleanup, change: (deps: SignInDeps) => SignInDeps = (deps) => deps) {
    let seen: SignInDeps | undefined;
    const api = await fakeApi(t, {
      people: [{ username: 'target', password_hash: await cheap, roles: ['viewer'], mfa_totp_secret: 'A'.repeat(32) }],
      changeSignIn: (deps) => {
        seen = change({
          ...deps,
          passwords: { ...deps.passwords, hashPassword: () => cheap },
          verifyTotp: () => 1,
          limitMs,
        });
        return seen;
      },
    });
    let host = 0;
    // From another address each time, so that no limit is reached.
    const signIn = () =>
      api.app.inject({
        remoteAddress: `192.0.2.${(host += 1)}`,
        method: 'POST',
        url: '/api/admin/login',
        payload: { username: 'target', password, totp: '123456' },
      });
    if (seen === undefined) throw new TypeError('the sign-in is made with the API');
    return { ...api, signIn, deps: seen };
  }

  it('are these, and no other', async (t) => {
    const { signIn, deps } = await signingIn(t);
    assert.deepEqual(functionsIn(deps).toSorted(), Object.keys(roles).toSorted());
    assert.equal((await signIn()).statusCode, 200, 'with every check as it is');
  });

  forEachCheck(roles, async (t, path, act) => {
    const { signIn, sessions } = await signingIn(t, (deps) => withFunction(deps, path, act));
    return async (way) => {
      const answer = await signIn();
      const { code } = problemOf(answer);
      assert.match(code, /^(internal\.error|auth\.invalid_credentials|service\.unavailable)$/, way);
      assert.deepEqual(answer.cookies, [], way);
      assert.equal(sessions.rows.size, 0, way);
      const outcomes = sessions.audit.splice(0).map(({ outcome }) => outcome);
      assert.deepEqual(outcomes, [code === 'auth.invalid_credentials' ? 'refused' : 'failed'], way);
    };
  });

  it('refuses also when the refusal cannot be written down', async (t) => {
    const { signIn } = await signingIn(t, (deps) =>
      withFunction(withFunction(deps, 'audit', failures.rejects), 'directory.find', failures.rejects),
    );
    assert.equal(problemOf(await signIn()).code, 'internal.error');
  });
});

describe('the checks of a vote', () => {
  const refusals =
    /^(internal\.error|auth\.(invalid_credentials|session_ended|forbidden)|resource\.not_found|service\.unavailable)$/;
  const roles: Roles = {
    'authentication.verifyToken': inEveryWay,
    'authentication.findSession': inEveryWay,
    'authentication.directory.find': inEveryWay,
    'authentication.directory.all': 'not asked',
    'authentication.requireCsrfToken': 'for the cookie alone; it throws to refuse',
    'authentication.clock.now': failuresAtOnce,
    projectExists: inEveryWay,
    'idempotency.start': inEveryWay,
    'idempotency.answer': 'keeps the answer of what was done',
    'idempotency.abandon': 'gives the key back',
    'sealGuard.sealLagSeconds': ['throws', 'rejects', 'answers nothing', 'never answers'],
    'sealGuard.isAuditWritable': ['throws', 'rejects', 'answers nothing', 'never answers'],
    'sealGuard.isRewritten': ['throws', 'rejects', 'answers nothing', 'never answers'],
    'sealGuard.clock.now': failuresAtOnce,
    'approvals.findApproval': inEveryWay,
    'approvals.listApprovals': 'not asked',
    'approvals.actors.vote': withoutAnswer,
    'approvals.proxy.isSource': 'only about the address',
    'approvals.proxy.clientAddress': 'only says where the request came from',
    'approvals.cursors.seal': 'not asked',
    'approvals.cursors.open': 'not asked',
    'approvals.links.to': 'only shows where to look',
  };
  type Parts = Pick<ApiDeps, 'authentication' | 'projectExists' | 'idempotency' | 'sealGuard' | 'approvals'>;
  const partsOf = ({ authentication, projectExists, idempotency, sealGuard, approvals }: ApiDeps): Parts => {
    const { findApproval, listApprovals, proxy, cursors, links, actors } = approvals;
    const { vote } = actors;
    return {
      authentication,
      projectExists,
      idempotency,
      sealGuard,
      approvals: { findApproval, listApprovals, actors: { vote }, proxy, cursors, links },
    };
  };

  async function voting(t: Cleanup, change: (parts: Parts) => Parts = (parts) => parts) {
    let seen: Parts | undefined;
    const api = await fakeApi(t, {
      change: (deps) => {
        seen = change(partsOf(deps));
        return { ...deps, ...seen, handlerTimeoutMs: limitMs };
      },
    });
    api.registry.addDevice(pendingDevice('pending-1'));
    api.registry.addApproval(openApproval());
    const credential = await api.as('approver');
    let votes = 0;
    const vote = () =>
      api.app.inject({
        method: 'POST',
        url: `/api/approvals/${reviewId}/review`,
        payload: { decision: 'approve' },
        headers: { ...credential, 'idempotency-key': `vote-${(votes += 1)}` },
      });
    const cast = () => api.registry.asked.filter(({ what }) => what === 'vote');
    if (seen === undefined) throw new TypeError('the parts are those of the API');
    return { vote, cast, parts: seen };
  }

  it('are these, and no other', async (t) => {
    const { vote, cast, parts } = await voting(t);
    assert.deepEqual(functionsIn(parts).toSorted(), Object.keys(roles).toSorted());
    assert.equal((await vote()).statusCode, 200, 'with every check as it is');
    assert.equal(cast().length, 1);
  });

  forEachCheck(roles, async (t, path, act) => {
    const { vote, cast } = await voting(t, (parts) => withFunction(parts, path, act));
    return async (way) => {
      const { code } = problemOf(await vote());
      assert.match(code, refusals, way);
      assert.deepEqual(cast(), [], way);
    };
  });
});
