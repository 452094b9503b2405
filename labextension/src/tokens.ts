/**
 * What other extensions may ask for.
 */
import { Token } from '@lumino/coreutils';
import type { ISignal } from '@lumino/signaling';
import type { HistoryModel } from './models/history';
import type { KernelsModel, PlacesModel } from './models/kernels';
import type { SessionsModel } from './models/sessions';
import type { StorageModel } from './models/storage';
import type { Requests } from './requests';

/** The models of Code Mode, kept up to date by the server. */
export interface ICodeMode {
  readonly requests: Requests;
  readonly kernels: KernelsModel;
  readonly places: PlacesModel;
  readonly sessions: SessionsModel;
  readonly storage: StorageModel;
  readonly history: HistoryModel;
  /** Whether the server extension answers; null while that is not known. */
  readonly isAvailable: boolean | null;
  readonly availabilityChanged: ISignal<ICodeMode, void>;
  /** Whether somebody looks at a panel, so that usage, storage and history are read. */
  isWatched: boolean;
  /** Milliseconds between two looks while the event stream is not connected. */
  interval: number;
}

export const ICodeMode = new Token<ICodeMode>(
  'py-code-mode-jupyter:ICodeMode',
  'Kernels by place, sessions, storage and run history of Code Mode.'
);

/** The commands of this extension. */
export const CommandIDs = {
  createNotebook: 'pcm:create-notebook',
  showPanel: 'pcm:show-panel',
  showIsolation: 'pcm:show-isolation',
  runIn: 'pcm:run-in',
  checkSettings: 'pcm:check-settings',
  refresh: 'pcm:refresh'
} as const;
