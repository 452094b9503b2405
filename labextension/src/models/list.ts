/**
 * What every list that the server keeps has in common.
 */
import type { IDisposable } from '@lumino/disposable';
import { type ISignal, Signal } from '@lumino/signaling';

/** Something that is read anew as a whole, tells when it has changed, and remembers why reading failed. */
export abstract class ListModel implements IDisposable {
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Why the last reading failed; null if it did not. */
  get failure(): Error | null {
    return this._failure;
  }

  /** Whether it was read at all. */
  get isRead(): boolean {
    return this._isRead;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Read everything anew. A call while one is on its way makes another follow, which both wait for. */
  refresh(): Promise<void> {
    if (this._reading === null) {
      this._reading = this._read().finally(() => {
        this._reading = null;
      });
      return this._reading;
    }
    this._following ??= this._reading.then(() => {
      this._following = null;
      return this.refresh();
    });
    return this._following;
  }

  dispose(): void {
    this._isDisposed = true;
    Signal.clearData(this);
  }

  protected emitChanged(): void {
    if (!this._isDisposed) {
      this._changed.emit();
    }
  }

  /** Ask the server, and keep what it says. */
  protected abstract read(): Promise<void>;

  private async _read(): Promise<void> {
    if (this._isDisposed) {
      return;
    }
    try {
      await this.read();
      this._failure = null;
      this._isRead = true;
    } catch (error) {
      this._failure = error instanceof Error ? error : new Error(String(error));
    }
    this.emitChanged();
  }

  private readonly _changed = new Signal<this, void>(this);
  private _failure: Error | null = null;
  private _isRead = false;
  private _isDisposed = false;
  private _reading: Promise<void> | null = null;
  private _following: Promise<void> | null = null;
}
