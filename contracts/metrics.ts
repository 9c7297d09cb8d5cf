// Every metric, in one table: name, kind, labels, meaning and the processes that have it. Code, `docs/metrics.md`, the dashboard
// and the alert rules are all held against it. No label is ever the name of a device or of a person.

export const metricProcesses = ['api', 'worker', 'sealer'] as const;
export type MetricProcess = (typeof metricProcesses)[number];

interface Metric {
  readonly kind: 'counter' | 'gauge' | 'histogram';
  readonly processes: readonly MetricProcess[];
  readonly meaning: string;
  readonly labels?: readonly string[];
  /** Upper bounds of a histogram. */
  readonly buckets?: readonly number[];
}

const fastSeconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5] as const;
const requestSeconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;

export const metrics = {
  sentinel_info: {
    kind: 'gauge',
    processes: ['api', 'worker', 'sealer'],
    labels: ['version'],
    meaning: 'Always 1; says which version runs',
  },
  sentinel_event_loop_utilization: {
    kind: 'gauge',
    processes: ['api', 'worker', 'sealer'],
    meaning: 'Part of the time since the last reading that the process was busy: at 1 it can do no more',
  },
  sentinel_database_connections: {
    kind: 'gauge',
    processes: ['api', 'worker', 'sealer'],
    labels: ['state'],
    meaning: 'Connections of the pool: busy, idle, and requests waiting for one',
  },
  sentinel_database_connections_limit: {
    kind: 'gauge',
    processes: ['api', 'worker', 'sealer'],
    meaning: 'Connections that the pool may have',
  },
  sentinel_trace_spans_dropped_total: {
    kind: 'counter',
    processes: ['api', 'worker', 'sealer'],
    labels: ['reason'],
    meaning:
      'Spans of traces that nobody will see: queue_full, when too many waited, or not_sent, when the collector did not take them',
  },

  sentinel_http_request_duration_seconds: {
    kind: 'histogram',
    processes: ['api'],
    labels: ['method', 'route', 'status'],
    buckets: requestSeconds,
    meaning: 'Time from the head of a request to the end of its answer',
  },
  sentinel_heartbeats_total: {
    kind: 'counter',
    processes: ['api'],
    labels: ['outcome'],
    meaning:
      'Heartbeats by what was answered: accepted, pending, or the problem code; those that were shed are not among them',
  },
  sentinel_heartbeats_shed_total: {
    kind: 'counter',
    processes: ['api'],
    labels: ['reason'],
    meaning:
      'Heartbeats refused unread: full, when too many were open, or share, when answers had been slow for a while',
  },
  sentinel_heartbeat_admission_share: {
    kind: 'gauge',
    processes: ['api'],
    meaning: 'Share of heartbeats that is taken; below 1 the server is overloaded',
  },
  sentinel_heartbeats_open: {
    kind: 'gauge',
    processes: ['api'],
    meaning: 'Heartbeats that were taken and are not answered yet',
  },
  sentinel_heartbeat_batch_size: {
    kind: 'histogram',
    processes: ['api'],
    buckets: [1, 2, 5, 10, 20, 50, 100, 200],
    meaning: 'Heartbeats judged by one statement',
  },
  sentinel_heartbeat_batch_wait_seconds: {
    kind: 'histogram',
    processes: ['api'],
    buckets: fastSeconds,
    meaning: 'Time that a heartbeat waited for its batch',
  },
  sentinel_heartbeat_batch_duration_seconds: {
    kind: 'histogram',
    processes: ['api'],
    buckets: fastSeconds,
    meaning: 'Time that the statement of a batch took',
  },
  sentinel_actor_signals_total: {
    kind: 'counter',
    processes: ['api'],
    labels: ['result'],
    meaning: 'News for device actors: sent, coalesced with one that waited, dropped for lack of room, or failed',
  },
  sentinel_identity_refusals_total: {
    kind: 'counter',
    processes: ['api'],
    labels: ['code'],
    meaning: 'Refused identities, by problem code',
  },
  sentinel_attestation_verdicts_total: {
    kind: 'counter',
    processes: ['api'],
    labels: ['outcome', 'reason'],
    meaning: 'Verdicts on evidence, and the reason of those that were refused',
  },
  sentinel_attestation_judgement_seconds: {
    kind: 'histogram',
    processes: ['api'],
    buckets: fastSeconds,
    meaning: 'How long evidence took to be judged, waiting and an external verifier included',
  },
  sentinel_audit_write_failures_total: {
    kind: 'counter',
    processes: ['api'],
    meaning: 'Events about refusals that could not be written down',
  },
  sentinel_sign_ins_total: {
    kind: 'counter',
    processes: ['api'],
    labels: ['outcome'],
    meaning: 'Sign-ins: success, or the problem code',
  },
  sentinel_event_streams: { kind: 'gauge', processes: ['api'], meaning: 'Open event streams' },
  sentinel_temporal_request_duration_seconds: {
    kind: 'histogram',
    processes: ['api'],
    labels: ['operation', 'status'],
    buckets: requestSeconds,
    meaning: 'Time that Temporal took to answer the API, by gRPC method and status',
  },
  sentinel_devices: {
    kind: 'gauge',
    processes: ['api'],
    labels: ['trust_tier', 'liveness', 'approval_state'],
    meaning: 'Devices in service, in all projects; counted at most once a minute',
  },
  sentinel_approvals_open: {
    kind: 'gauge',
    processes: ['api'],
    labels: ['kind'],
    meaning: 'Approvals that wait for a decision; counted at most once a minute',
  },
  sentinel_approval_oldest_seconds: {
    kind: 'gauge',
    processes: ['api'],
    labels: ['kind'],
    meaning: 'Age of the oldest approval that waits for a decision',
  },
  sentinel_news_waiting: {
    kind: 'gauge',
    processes: ['api'],
    meaning: 'Devices whose news has waited for longer than a minute, counted up to 1000',
  },
  sentinel_stuck_actors: {
    kind: 'gauge',
    processes: ['api'],
    meaning: 'Actors that do not go on, because their workflow tasks fail again and again',
  },
  sentinel_seal_lag_seconds: {
    kind: 'gauge',
    processes: ['api'],
    meaning: 'Age of the oldest event without a place in the chain',
  },
  sentinel_checkpoint_age_seconds: {
    kind: 'gauge',
    processes: ['api'],
    meaning: 'Time since the last checkpoint was signed; none is signed while nothing happens',
  },
  sentinel_tls_certificate_expiry_seconds: {
    kind: 'gauge',
    processes: ['api'],
    meaning: 'Time until the certificate of the API ends',
  },

  sentinel_commits_total: {
    kind: 'counter',
    processes: ['worker'],
    labels: ['kind', 'result'],
    meaning: 'Commits of actors, by kind of actor: committed, duplicate, fenced, refused, or failed',
  },
  sentinel_commit_duration_seconds: {
    kind: 'histogram',
    processes: ['worker'],
    labels: ['kind'],
    buckets: requestSeconds,
    meaning: 'Time that the transaction of a commit took',
  },
  sentinel_evidence_verifications_total: {
    kind: 'counter',
    processes: ['worker'],
    labels: ['result'],
    meaning: 'Evidence that actors had judged again: valid, invalid, or failed where the store did not answer',
  },
  sentinel_reconciler_findings_total: {
    kind: 'counter',
    processes: ['worker'],
    labels: ['finding'],
    meaning: 'What the reconciler found: news that no signal carried, actors of another run, actors that did not run',
  },
  sentinel_pruned_rows_total: {
    kind: 'counter',
    processes: ['worker'],
    labels: ['kind'],
    meaning: 'Rows removed because nobody will ask for them again',
  },

  sentinel_sealed_events_total: {
    kind: 'counter',
    processes: ['sealer'],
    labels: ['stream'],
    meaning: 'Events that were given their place in a chain',
  },
  sentinel_seal_batch_duration_seconds: {
    kind: 'histogram',
    processes: ['sealer'],
    labels: ['stream'],
    buckets: fastSeconds,
    meaning: 'Time that one batch of one chain took',
  },
  sentinel_seal_failures_total: {
    kind: 'counter',
    processes: ['sealer'],
    meaning: 'Rounds of the sealer that failed',
  },
  sentinel_checkpoints_signed_total: {
    kind: 'counter',
    processes: ['sealer'],
    meaning: 'Checkpoints that were signed',
  },
} as const satisfies Record<`sentinel_${string}`, Metric>;

export type MetricName = keyof typeof metrics;
export type MetricRow = Metric;
export type MetricLabel<Name extends MetricName> = (typeof metrics)[Name] extends {
  readonly labels: readonly (infer Label extends string)[];
}
  ? Label
  : never;

interface LibraryMetric {
  readonly processes: readonly MetricProcess[];
  /** Not there until it has happened. */
  readonly rare?: true;
  readonly meaning: string;
}

/** What libraries count by themselves, and we look at: a test finds each in a running process. */
export const libraryMetrics = {
  nodejs_eventloop_lag_p99_seconds: {
    processes: ['api', 'worker', 'sealer'],
    meaning: 'Delay of the event loop, 99th percentile since the last reading',
  },
  process_resident_memory_bytes: { processes: ['api', 'worker', 'sealer'], meaning: 'Memory of the process' },
  process_cpu_seconds_total: { processes: ['api', 'worker', 'sealer'], meaning: 'Processor time of the process' },
  temporal_request: { processes: ['worker'], meaning: 'Requests of the worker to Temporal' },
  temporal_workflow_task_execution_failed: {
    processes: ['worker'],
    rare: true,
    meaning: 'Workflow tasks that failed and are tried again: a workflow that does not go on',
  },
  temporal_workflow_task_execution_latency: { processes: ['worker'], meaning: 'Time that a workflow task took' },
  temporal_workflow_task_schedule_to_start_latency: {
    processes: ['worker'],
    meaning: 'Time that a workflow task waited for a worker',
  },
  temporal_activity_execution_failed: {
    processes: ['worker'],
    rare: true,
    meaning: 'Attempts of activities that failed',
  },
  temporal_activity_execution_latency: { processes: ['worker'], meaning: 'Time that an activity took' },
  temporal_sticky_cache_size: { processes: ['worker'], meaning: 'Workflows in the memory of the worker' },
  temporal_worker_task_slots_available: { processes: ['worker'], meaning: 'Tasks that the worker could still take' },
} as const satisfies Record<string, LibraryMetric>;
