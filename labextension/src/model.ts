/**
 * All that the plugins share: one connection with the server, and what is known through it.
 */
import type { IDisposable } from '@lumino/disposable';
import { type ISignal, Signal } from '@lumino/signaling';
import type { ServerEvent } from './api';
import { EventStream } from './events';
import { HistoryModel } from './models/history';
import { KernelsModel, PlacesModel } from './models/kernels';
import type { ListModel } from './models/list';
import { SessionsModel } from './models/sessions';
import { StorageModel } from './models/storage';
import { RequestError, type Requests } from './requests';
import type { ICodeMode } from './tokens';

const INTERVAL = 5000;

export class CodeMode implements ICodeMode, IDisposable {
  constructor(readonly requests: Requests) {
    this.kernels = new KernelsModel(requests);
    this.places = new PlacesModel(requests);
    this.sessions = new SessionsModel(requests);
    this.storage = new StorageModel(requests);
    this.history = new HistoryModel(requests);
    this._events = new EventStream(requests, INTERVAL);
    this._events.received.connect(this._onEvent, this);
    this._events.stale.connect(this._onStale, this);
  }

  readonly kernels: KernelsModel;
  readonly places: PlacesModel;
  readonly sessions: SessionsModel;
  readonly storage: StorageModel;
  readonly history: HistoryModel;

  /** Whether the server extension answers; null while that is not known. */
  get isAvailable(): boolean | null {
    return this._isAvailable;
  }

  get availabilityChanged(): ISignal<this, void> {
    return this._availabilityChanged;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Look whether the server extension is there; if so, listen to it. */
  async start(): Promise<void> {
    await this.places.refresh();
    const failure = this.places.failure;
    this._isAvailable = !(failure instanceof RequestError && failure.isAbsent);
    this._availabilityChanged.emit();
    if (this._isAvailable && !this._isDisposed) {
      await Promise.all([this.kernels.refresh(), this.sessions.refresh()]);
      this._events.start();
    }
  }

  set interval(value: number) {
    this._events.interval = value;
  }

  /** Whether somebody looks at what is only read while somebody looks. */
  set isWatched(value: boolean) {
    this._isWatched = value;
    this._events.wantsUsage = value;
    if (value && this._isAvailable === true) {
      void this.kernels.refresh();
      void this.sessions.refresh();
      void this.storage.refresh();
      void this.history.refresh();
    }
  }

  get isWatched(): boolean {
    return this._isWatched;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this._events.dispose();
    for (const model of this._models) {
      model.dispose();
    }
    Signal.clearData(this);
  }

  private get _models(): readonly ListModel[] {
    return [this.kernels, this.places, this.sessions, this.storage, this.history];
  }

  private _onEvent(_sender: EventStream, event: ServerEvent): void {
    switch (event.topic) {
      case 'kernels':
      case 'usage':
        this.kernels.apply(event);
        break;
      case 'sessions':
        void this.sessions.refresh();
        break;
      case 'storage':
        this._refreshIfWatched(this.storage);
        break;
      case 'runs':
        this._refreshIfWatched(this.sessions); // each says what it runs, and how often it has
        this._refreshIfWatched(this.history);
        break;
      case 'hello':
        break;
    }
  }

  private _refreshIfWatched(model: ListModel): void {
    if (this._isWatched) {
      void model.refresh();
    }
  }

  private _onStale(): void {
    void this.kernels.refresh();
    void this.sessions.refresh();
    this._refreshIfWatched(this.storage);
    this._refreshIfWatched(this.history);
  }

  private readonly _events: EventStream;
  private readonly _availabilityChanged = new Signal<this, void>(this);
  private _isAvailable: boolean | null = null;
  private _isWatched = false;
  private _isDisposed = false;
}
