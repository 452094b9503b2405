/**
 * What the server extension answers, as its `openapi.json` describes it.
 *
 * Names, descriptions, previews, codes and reasons come from executed code in part: they are shown as text, never as markup.
 */

/** Where code runs, by increasing isolation. */
export type PlaceName = 'in-process' | 'venv' | 'container';

export const PLACES: readonly PlaceName[] = ['in-process', 'venv', 'container'];

/** Limits in force; null: no limit, or none that the place could keep. */
export interface Limits {
  readonly memory: number | null;
  readonly cpu: number | null;
  readonly disk: number | null;
  readonly processes: number | null;
  readonly network: boolean;
  readonly timeout: number | null;
}

export interface Place {
  readonly name: PlaceName;
  readonly kernel_name: string;
  readonly display_name: string;
  readonly is_available: boolean;
  readonly message: string;
  readonly remedy: string;
  readonly limits: Limits;
  readonly settable: readonly string[];
}

/** What is used now; memory in bytes, CPU in seconds and percent of one CPU. */
export interface Usage {
  readonly memory: number;
  readonly memory_limit: number | null;
  readonly memory_peak: number;
  readonly cpu: number;
  readonly cpu_percent: number | null;
  readonly processes: number;
  readonly measured: string;
}

export type Measured = boolean | number | string | null;

export interface Fact {
  readonly name: string;
  readonly label: string;
  readonly inside: Measured;
  readonly outside: Measured;
  readonly holds: boolean | null;
  readonly agrees: boolean;
}

/** What was measured, inside before user code ran and outside by the host; never configuration. */
export interface Isolation {
  readonly place: PlaceName | null;
  readonly level: 'none' | 'process' | 'container';
  readonly is_verified: boolean;
  readonly summary: string;
  readonly facts: readonly Fact[];
  readonly measured: string;
}

/** Why a kernel has ended that nobody asked to end. */
export interface Death {
  readonly reason: string;
  readonly kind: string;
  readonly at: string;
}

export interface KernelInfo {
  readonly id: string;
  readonly name: string;
  readonly display_name: string;
  readonly place: PlaceName | null;
  readonly state: string;
  readonly refusal: string;
  readonly connections: number;
  readonly started: string;
  readonly last_activity: string;
  readonly session: {
    readonly id: string;
    readonly path: string;
    readonly name: string;
    readonly type: string;
  } | null;
  readonly limits: Limits | null;
  readonly usage: Usage | null;
  readonly isolation: Isolation | null;
  readonly death: Death | null;
  readonly settings: NotebookSettings | null;
}

/** A session of this user's storage: in a notebook's kernel, an agent or a program. */
export interface SessionInfo {
  readonly id: string;
  readonly name: string;
  readonly executor: string;
  readonly place: PlaceName;
  readonly state: string;
  readonly owner_pid: number;
  readonly owner_what: string;
  readonly kernel_id: string | null;
  readonly started: string;
  readonly uptime: number | null;
  readonly runs: number | null;
  readonly last_run: number | null;
  readonly limits: Limits;
  readonly usage: Usage | null;
  readonly isolation: Isolation | null;
}

export interface Artifact {
  readonly name: string;
  readonly version: number;
  readonly format: string;
  readonly media_type: string;
  readonly size: number;
  readonly created: string;
  readonly description: string;
  readonly sha256: string;
  readonly summary: string;
}

export interface ArtifactPage {
  readonly artifacts: readonly Artifact[];
  readonly next: string | null;
  readonly total: number;
}

/** A bounded view: text, a table of texts, or a raster image that the server encoded. */
export interface Preview {
  readonly kind: 'table' | 'text' | 'json' | 'image' | 'none';
  readonly artifact: Artifact;
  readonly truncated: boolean;
  readonly note: string;
  readonly text: string;
  readonly table: {
    readonly columns: readonly { readonly name: string; readonly type: string }[];
    readonly rows: readonly (readonly (string | null)[])[];
    readonly total_rows: number;
    readonly total_columns: number;
  } | null;
  readonly image: {
    readonly media_type: string;
    readonly data: string;
    readonly width: number;
    readonly height: number;
  } | null;
}

export interface Workflow {
  readonly name: string;
  readonly description: string;
  readonly parameters: readonly {
    readonly name: string;
    readonly annotation: string;
    readonly default: string | null;
    readonly kind: string;
  }[];
  readonly is_async: boolean;
  readonly origin: string;
  readonly created: string;
  readonly sha256: string;
}

export interface Run {
  readonly id: number;
  readonly session: string;
  readonly session_id: string;
  readonly executor: string;
  readonly status: string;
  readonly started: string;
  readonly execution_time: number | null;
  readonly code: string;
  readonly value: string;
  readonly error: string;
  readonly truncated: number;
  readonly state_preserved: boolean;
}

export interface RunPage {
  readonly runs: readonly Run[];
  readonly next: number | null;
}

/** What a notebook's metadata may hold under `pcm`; each may only tighten. */
export interface NotebookSettings {
  readonly memory?: string | number;
  readonly network?: boolean;
  readonly dependencies?: readonly string[];
  readonly timeout?: number;
}

export interface SettingsAnswer {
  readonly is_valid: boolean;
  readonly problems: readonly {
    readonly field: string;
    readonly message: string;
    readonly remedy: string;
  }[];
  readonly effective: Limits | null;
  readonly allowed: Limits;
}

export type Topic = 'kernels' | 'usage' | 'sessions' | 'storage' | 'runs';

/** A message of the event stream. */
export interface ServerEvent {
  readonly topic: Topic | 'hello';
  readonly change: 'hello' | 'started' | 'changed' | 'died' | 'ended' | 'measured';
  readonly id: string | null;
  readonly sequence: number;
  readonly kernel?: KernelInfo | null;
  readonly usage?: Usage | null;
}
