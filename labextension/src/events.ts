/**
 * The server's event stream: what has changed, without asking again and again.
 */
import { Poll } from '@lumino/polling';
import type { IDisposable } from '@lumino/disposable';
import { type ISignal, Signal } from '@lumino/signaling';
import type { ServerEvent, Topic } from './api';
import type { Requests } from './requests';

const ALWAYS: readonly Topic[] = ['kernels', 'sessions', 'storage', 'runs'];
const FIRST_RETRY = 1000;
const LAST_RETRY = 30_000;

/** A connection that is made again when it is lost; meanwhile a poll asks to read everything anew. */
export class EventStream implements IDisposable {
  constructor(
    private readonly _requests: Requests,
    interval: number
  ) {
    this._poll = new Poll({
      auto: false,
      factory: () => {
        this._stale.emit();
        return Promise.resolve();
      },
      frequency: { interval, backoff: false },
      name: 'py-code-mode-jupyter:events',
      standby: 'when-hidden'
    });
  }

  /** Emitted for each message. */
  get received(): ISignal<this, ServerEvent> {
    return this._received;
  }

  /** Emitted when all that is known may be old: once news is told, and at times while not connected. */
  get stale(): ISignal<this, void> {
    return this._stale;
  }

  get isConnected(): boolean {
    return this._socket?.readyState === 1;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Connect, and stay connected. */
  start(): void {
    if (!this._isDisposed && this._socket === null) {
      this._connect();
    }
  }

  /** Milliseconds between two looks while there is no connection. */
  set interval(value: number) {
    this._poll.frequency = { ...this._poll.frequency, interval: value };
  }

  /** Whether memory and CPU of every kernel are to be measured and told. */
  set wantsUsage(value: boolean) {
    this._wantsUsage = value;
    this._subscribe();
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this._poll.dispose();
    clearTimeout(this._timer);
    this._socket?.close();
    Signal.clearData(this);
  }

  private _connect(): void {
    const socket = this._requests.openEvents();
    this._socket = socket;
    socket.onopen = () => {
      void this._poll.stop();
      this._retry = FIRST_RETRY;
      this._subscribe();
    };
    socket.onmessage = (message: MessageEvent<string>) => {
      const event = JSON.parse(message.data) as ServerEvent;
      this._received.emit(event);
      if (event.topic === 'hello') {
        this._stale.emit(); // from here on, whatever changes is told
      }
    };
    socket.onclose = () => this._onLost();
  }

  private _onLost(): void {
    if (this._isDisposed) {
      return;
    }
    void this._poll.start();
    this._timer = setTimeout(() => this._connect(), this._retry);
    this._retry = Math.min(2 * this._retry, LAST_RETRY);
  }

  private _subscribe(): void {
    if (this.isConnected) {
      const subscribe: Topic[] = this._wantsUsage ? [...ALWAYS, 'usage'] : [...ALWAYS];
      this._socket?.send(JSON.stringify({ subscribe }));
    }
  }

  private readonly _poll: Poll;
  private readonly _received = new Signal<this, ServerEvent>(this);
  private readonly _stale = new Signal<this, void>(this);
  private _socket: WebSocket | null = null;
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private _retry = FIRST_RETRY;
  private _wantsUsage = false;
  private _isDisposed = false;
}
