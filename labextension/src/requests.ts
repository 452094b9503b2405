/**
 * Every request to the server extension. Nothing else of this package speaks to the server's own routes.
 */
import { URLExt } from '@jupyterlab/coreutils';
import type { INotebookContent } from '@jupyterlab/nbformat';
import { ServerConnection } from '@jupyterlab/services';
import type {
  Artifact,
  ArtifactPage,
  Isolation,
  KernelInfo,
  Place,
  Preview,
  RunPage,
  SessionInfo,
  SettingsAnswer,
  Workflow
} from './api';

const ROOT = 'pcm';

/** What a session can be asked to do. */
export type Steering = 'interrupt' | 'reset' | 'restart' | 'stop';

/** A failure that the server told, with what to do about it. */
export class RequestError extends Error {
  constructor(
    readonly status: number,
    readonly kind: string,
    message: string,
    readonly remedy: string
  ) {
    super(message);
    this.name = 'RequestError';
  }

  /** Whether the server extension is not there at all. */
  get isAbsent(): boolean {
    return this.status === 404 && this.kind === '';
  }
}

type Query = Readonly<Record<string, string | number | boolean | null | undefined>>;

function address(parts: readonly (string | number)[], query: Query = {}): string {
  const given = Object.entries(query).flatMap(([name, value]) =>
    value === undefined || value === null || value === '' ? [] : [[name, String(value)]]
  );
  const path = [ROOT, ...parts.map(part => encodeURIComponent(part))].join('/');
  return given.length ? `${path}?${new URLSearchParams(given).toString()}` : path;
}

async function failure(response: Response): Promise<RequestError> {
  const said: unknown = await response.json().catch(() => null);
  const told = (said ?? {}) as Partial<Record<'error' | 'message' | 'remedy', unknown>>;
  const text = (value: unknown): string => (typeof value === 'string' ? value : '');
  return new RequestError(
    response.status,
    text(told.error),
    text(told.message) || `${response.status} ${response.statusText}`,
    text(told.remedy)
  );
}

/** The routes of the server extension, one method each. */
export class Requests {
  constructor(readonly settings: ServerConnection.ISettings) {}

  async places(refresh = false): Promise<readonly Place[]> {
    const said = await this._json<{ places: readonly Place[] }>(
      address(['places'], refresh ? { refresh } : {})
    );
    return said.places;
  }

  async kernels(): Promise<readonly KernelInfo[]> {
    return (await this._json<{ kernels: readonly KernelInfo[] }>(address(['kernels']))).kernels;
  }

  probeKernel(id: string): Promise<Isolation> {
    return this._json<Isolation>(address(['kernels', id, 'probe']), { method: 'POST' });
  }

  async sessions(): Promise<readonly SessionInfo[]> {
    return (await this._json<{ sessions: readonly SessionInfo[] }>(address(['sessions']))).sessions;
  }

  async steer(id: string, what: Steering): Promise<void> {
    await this._response(address(['sessions', id, what]), { method: 'POST' });
  }

  probeSession(id: string): Promise<Isolation> {
    return this._json<Isolation>(address(['sessions', id, 'probe']), { method: 'POST' });
  }

  artifacts(query: {
    filter?: string;
    after?: string | null;
    limit?: number;
  }): Promise<ArtifactPage> {
    return this._json<ArtifactPage>(address(['artifacts'], query));
  }

  async versions(name: string): Promise<readonly Artifact[]> {
    const said = await this._json<{ versions: readonly Artifact[] }>(
      address(['artifacts', name, 'versions'])
    );
    return said.versions;
  }

  preview(name: string, version?: number): Promise<Preview> {
    return this._json<Preview>(address(['artifacts', name, 'preview'], { version }));
  }

  async content(name: string, version?: number): Promise<Blob> {
    const response = await this._response(address(['artifacts', name, 'content'], { version }));
    return response.blob();
  }

  async deleteArtifact(name: string): Promise<void> {
    await this._response(address(['artifacts', name]), { method: 'DELETE' });
  }

  async workflows(search = ''): Promise<readonly Workflow[]> {
    const said = await this._json<{ workflows: readonly Workflow[] }>(
      address(['workflows'], { search })
    );
    return said.workflows;
  }

  async workflowSource(name: string): Promise<string> {
    return (await this._json<{ source: string }>(address(['workflows', name]))).source;
  }

  async deleteWorkflow(name: string): Promise<void> {
    await this._response(address(['workflows', name]), { method: 'DELETE' });
  }

  runs(query: {
    search?: string;
    session?: string;
    before?: number | null;
    limit?: number;
  }): Promise<RunPage> {
    return this._json<RunPage>(address(['runs'], query));
  }

  runNotebook(id: number): Promise<INotebookContent> {
    return this._json<INotebookContent>(address(['runs', id, 'notebook']));
  }

  sessionNotebook(session: string): Promise<INotebookContent> {
    return this._json<INotebookContent>(address(['runs', 'notebook'], { session }));
  }

  checkSettings(kernelName: string, settings: object): Promise<SettingsAnswer> {
    return this._json<SettingsAnswer>(address(['settings', 'check']), {
      method: 'POST',
      body: JSON.stringify({ kernel_name: kernelName, settings })
    });
  }

  /** Open the event stream. */
  openEvents(): WebSocket {
    const { wsUrl, token, appendToken, WebSocket } = this.settings;
    const url = URLExt.join(wsUrl, address(['events']));
    return new WebSocket(appendToken && token ? `${url}?token=${encodeURIComponent(token)}` : url);
  }

  private async _json<T>(path: string, init: RequestInit = {}): Promise<T> {
    return (await (await this._response(path, init)).json()) as T;
  }

  private async _response(path: string, init: RequestInit = {}): Promise<Response> {
    const url = URLExt.join(this.settings.baseUrl, path);
    const response = await ServerConnection.makeRequest(url, init, this.settings);
    if (!response.ok) {
      throw await failure(response);
    }
    return response;
  }
}
