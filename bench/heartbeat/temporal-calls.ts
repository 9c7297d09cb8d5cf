// How often Temporal was asked for something, by its own count: Prometheus text, `service_requests` of the frontend.

/** Every way in which somebody reaches a workflow; a workflow is merely started by schedules only, whatever devices do. */
const aboutWorkflows =
  /^(Signal|ExecuteMultiOperation|Update(WorkflowExecution$)|QueryWorkflow|ResetWorkflow|Terminate|RequestCancel)/;

/** Calls about workflows, by operation. */
export function callsOf(metrics: string): Record<string, number> {
  const calls: Record<string, number> = {};
  for (const line of metrics.split('\n')) {
    const [, labels = '', value = ''] = /^service_requests(?:_total)?\{(.*)\} (\S+)/.exec(line) ?? [];
    const label = (name: string): string => new RegExp(`(?:^|,)${name}="([^"]*)"`).exec(labels)?.[1] ?? '';
    if (label('service_name') !== 'frontend' || !aboutWorkflows.test(label('operation'))) continue;
    calls[label('operation')] = (calls[label('operation')] ?? 0) + Number(value);
  }
  return calls;
}

export async function readCalls(url: string): Promise<number> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(10_000) });
  const text = await answer.text();
  if (!/^service_requests/m.test(text)) throw new Error('Temporal does not say what it was asked for');
  return Object.values(callsOf(text)).reduce((sum, value) => sum + value, 0);
}
