// One line on the terminal that says how the run is going; nothing when nobody looks.
export interface ProgressNumbers {
  readonly seconds: number;
  readonly up: number;
  readonly planned: number;
  readonly answers: number;
  readonly waiting: number;
  readonly wrong: number;
}

export function presentProgress(now: ProgressNumbers, before: ProgressNumbers): string {
  const seconds = Math.max(now.seconds - before.seconds, 0.001);
  const perSecond = Math.round((now.answers - before.answers) / seconds);
  const wrong = now.wrong === 0 ? 'all right' : `${now.wrong} WRONG`;
  return `${Math.round(now.seconds)} s  ${now.up}/${now.planned} up  ${perSecond} answers/s  ${now.waiting} waiting  ${wrong}`;
}

/** Replaces the line on the terminal, which may not know how wide it is. */
export function drawLine(stream: { write(text: string): unknown; readonly columns?: number }, line: string): void {
  const { columns } = stream;
  stream.write(`\r\u001b[K${line.slice(0, (columns === undefined || columns === 0 ? 80 : columns) - 1)}`);
}
