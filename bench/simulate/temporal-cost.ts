// What an actor's steps cost a Temporal cluster, by the events that each of them writes into a history.
// @see https://docs.temporal.io/references/events

/** Counts of one simulated stretch of time; each name is a column of the report. */
export interface Cost {
  heartbeats: number;
  signals: number;
  updates: number;
  activities: number;
  /** Reads of the store within a workflow task. */
  looks: number;
  timers: number;
  workflow_tasks: number;
  history_events: number;
  workflows_started: number;
}

export const costNames = [
  'heartbeats',
  'signals',
  'updates',
  'activities',
  'looks',
  'timers',
  'workflow_tasks',
  'history_events',
  'workflows_started',
] as const satisfies readonly (keyof Cost)[];

export function noCost(): Cost {
  return Object.fromEntries(costNames.map((name) => [name, 0])) as unknown as Cost;
}

export function add(sum: Cost, more: Cost): void {
  for (const name of costNames) sum[name] += more[name];
}

/** WorkflowTaskScheduled, Started, Completed. */
const eventsOfTask = 3;

/**
 * Counts as Temporal does, and never too little: each thing that wakes a workflow is a task of its own, although some that
 * come together share one.
 */
export class Ledger {
  readonly cost = noCost();

  /** WorkflowExecutionStarted, and the task that runs it first. */
  started(): void {
    this.cost.workflows_started += 1;
    this.cost.history_events += 1;
    this.task();
  }

  /** WorkflowExecutionSignaled. */
  signalled(): void {
    this.cost.signals += 1;
    this.cost.history_events += 1;
    this.task();
  }

  /** WorkflowExecutionUpdateAccepted and UpdateCompleted; one that waits for commits is completed in their task. */
  updated(): void {
    this.cost.updates += 1;
    this.cost.history_events += 2;
    this.task();
  }

  /** ActivityTaskScheduled, Started, Completed. */
  activity(): void {
    this.cost.activities += 1;
    this.cost.history_events += 3;
    this.task();
  }

  /** MarkerRecorded: a local activity, within the task that asked for it. */
  looked(): void {
    this.cost.looks += 1;
    this.cost.history_events += 1;
  }

  /** TimerStarted, and TimerCanceled when it is armed for another time. */
  timerChanged(wasArmed: boolean, isArmed: boolean): void {
    if (isArmed) this.cost.timers += 1;
    this.cost.history_events += Number(wasArmed) + Number(isArmed);
  }

  /** TimerFired. */
  timerFired(): void {
    this.cost.history_events += 1;
    this.task();
  }

  /** UpsertWorkflowSearchAttributes. */
  shown(): void {
    this.cost.history_events += 1;
  }

  private task(): void {
    this.cost.workflow_tasks += 1;
    this.cost.history_events += eventsOfTask;
  }
}
