// What a person sees of a workflow in Temporal's UI: asked for as its pages do, through the API and its codec.
import assert from 'node:assert/strict';
import type { Person, Stack } from './stack.ts';

interface WirePayload {
  readonly metadata?: Readonly<Record<string, string>>;
  readonly data?: string;
}

/** The current details of a workflow, which its worker answers for. */
export async function currentDetails(stack: Stack, person: Person, workflowId: string): Promise<string> {
  const headers = { authorization: `Bearer ${await stack.token(person)}` };
  const namespace = stack.instance.temporal_namespace;
  const post = async (path: string, body: object): Promise<Record<string, unknown>> => {
    const answer = await stack.request(path, { method: 'POST', headers, body });
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return answer.body;
  };
  const queryType = '__temporal_workflow_metadata';
  const asked = await post(
    `/temporal/api/v1/namespaces/${namespace}/workflows/${encodeURIComponent(workflowId)}/query/${queryType}`,
    { query: { queryType } },
  );
  const { payloads = [] } = (asked['queryResult'] ?? {}) as { payloads?: readonly WirePayload[] };
  const decoded = await post('/api/temporal/codec/decode', { payloads });
  const [payload] = decoded['payloads'] as readonly WirePayload[];
  const metadata = JSON.parse(Buffer.from(payload?.data ?? '', 'base64').toString()) as { currentDetails?: string };
  return metadata.currentDetails ?? '';
}
