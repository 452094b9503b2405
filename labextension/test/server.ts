/**
 * A server that answers what a test gives it, for the one class that speaks to it.
 */
import { ServerConnection } from '@jupyterlab/services';
import type { KernelInfo } from '../src/api';
import { Requests } from '../src/requests';

export interface Asked {
  readonly method: string;
  readonly url: string;
  readonly body: string;
}

/** Requests whose answers `answer` makes, with a record of what was asked. */
export function serving(answer: (asked: Asked) => Response | Promise<Response>): {
  requests: Requests;
  asked: Asked[];
} {
  const asked: Asked[] = [];
  const fetch = async (input: RequestInfo, init?: RequestInit): Promise<Response> => {
    const request = new Request(input, init);
    // Lab adds the time, so that no cache answers.
    const url = request.url.replace(/[?&]\d+$/, '');
    const one = { method: request.method, url, body: await request.text() };
    asked.push(one);
    return answer(one);
  };
  const settings = ServerConnection.makeSettings({
    baseUrl: 'http://localhost/base/',
    wsUrl: 'ws://localhost/base/',
    token: 'secret token',
    appendToken: true,
    fetch,
    WebSocket: FakeSocket as unknown as typeof WebSocket
  });
  return { requests: new Requests(settings), asked };
}

export function json(value: unknown, status = 200): Response {
  return new Response(JSON.stringify(value), { status });
}

/** A websocket that a test opens, closes and speaks through. */
export class FakeSocket {
  static all: FakeSocket[] = [];

  constructor(readonly url: string) {
    FakeSocket.all.push(this);
  }

  readyState = 0;
  sent: string[] = [];
  onopen: (() => void) | null = null;
  onclose: (() => void) | null = null;
  onmessage: ((message: { data: string }) => void) | null = null;

  open(): void {
    this.readyState = 1;
    this.onopen?.();
  }

  tell(event: object): void {
    this.onmessage?.({ data: JSON.stringify(event) });
  }

  send(text: string): void {
    this.sent.push(text);
  }

  close(): void {
    this.readyState = 3;
    this.onclose?.();
  }
}

export function kernel(more: Partial<KernelInfo> = {}): KernelInfo {
  return {
    id: 'k1',
    name: 'pcm-venv',
    display_name: 'Python (isolated venv)',
    place: 'venv',
    state: 'idle',
    refusal: '',
    connections: 1,
    started: '2026-01-01T00:00:00+00:00',
    last_activity: '2026-01-01T00:00:00+00:00',
    session: null,
    limits: null,
    usage: null,
    isolation: null,
    death: null,
    settings: null,
    ...more
  };
}
