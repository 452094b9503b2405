/**
 * The kernels of this server, with their places.
 */
import { type ISignal, Signal } from '@lumino/signaling';
import type { Isolation, KernelInfo, Place, ServerEvent } from '../api';
import type { Requests } from '../requests';
import { ListModel } from './list';

export class KernelsModel extends ListModel {
  constructor(private readonly _requests: Requests) {
    super();
  }

  /** Emitted when a kernel has died; once for each death. */
  get died(): ISignal<this, KernelInfo> {
    return this._died;
  }

  get kernels(): readonly KernelInfo[] {
    return [...this._kernels.values()];
  }

  get(id: string): KernelInfo | undefined {
    return this._kernels.get(id);
  }

  /** Keep what an event tells. */
  apply(event: ServerEvent): void {
    if (event.topic === 'usage') {
      this._applyUsage(event);
    } else if (event.topic === 'kernels') {
      this._applyKernel(event);
    }
  }

  /** Measure a kernel's isolation again. */
  async probe(id: string): Promise<Isolation> {
    const isolation = await this._requests.probeKernel(id);
    const kernel = this._kernels.get(id);
    if (kernel !== undefined) {
      this._kernels.set(id, { ...kernel, isolation });
      this.emitChanged();
    }
    return isolation;
  }

  protected async read(): Promise<void> {
    const kernels = await this._requests.kernels();
    this._kernels = new Map(kernels.map(kernel => [kernel.id, kernel]));
  }

  private _applyUsage(event: ServerEvent): void {
    const kernel = event.id === null ? undefined : this._kernels.get(event.id);
    if (kernel !== undefined && event.usage !== undefined) {
      this._kernels.set(kernel.id, { ...kernel, usage: event.usage });
      this.emitChanged();
    }
  }

  private _applyKernel(event: ServerEvent): void {
    if (event.change === 'ended' && event.id !== null) {
      this._kernels.delete(event.id);
    } else if (event.kernel) {
      const usage = event.kernel.usage ?? this._kernels.get(event.kernel.id)?.usage ?? null;
      this._kernels.set(event.kernel.id, { ...event.kernel, usage });
      if (event.change === 'died') {
        this._died.emit(event.kernel);
      }
    } else {
      void this.refresh();
      return;
    }
    this.emitChanged();
  }

  private readonly _died = new Signal<this, KernelInfo>(this);
  private _kernels = new Map<string, KernelInfo>();
}

/** The three places: whether a kernel can be started there now, and what to do if not. */
export class PlacesModel extends ListModel {
  constructor(private readonly _requests: Requests) {
    super();
  }

  get places(): readonly Place[] {
    return this._places;
  }

  ofKernel(kernelName: string): Place | undefined {
    return this._places.find(place => place.kernel_name === kernelName);
  }

  /** Look again now, whatever the server remembers. */
  async lookAgain(): Promise<void> {
    this._again = true;
    await this.refresh();
  }

  protected async read(): Promise<void> {
    const again = this._again;
    this._again = false;
    this._places = await this._requests.places(again);
  }

  private _again = false;
  private _places: readonly Place[] = [];
}
