/**
 * Artifacts and workflows: pages of them, the newest first, and versions where somebody looks.
 */
import type { Artifact, Workflow } from '../api';
import type { Requests } from '../requests';
import { ListModel } from './list';

const PAGE = 100;

export class StorageModel extends ListModel {
  constructor(readonly requests: Requests) {
    super();
  }

  get artifacts(): readonly Artifact[] {
    return this._artifacts;
  }

  /** How many artifacts match in all. */
  get total(): number {
    return this._total;
  }

  get workflows(): readonly Workflow[] {
    return this._workflows;
  }

  get hasMore(): boolean {
    return this._next !== null;
  }

  get filter(): string {
    return this._filter;
  }

  /** Show only what has this in its name or description. */
  async setFilter(filter: string): Promise<void> {
    this._filter = filter;
    this._length = PAGE;
    await this.refresh();
  }

  /** The versions of an artifact, if its node is open and they were read. */
  versions(name: string): readonly Artifact[] | undefined {
    return this._versions.get(name);
  }

  /** Read the versions of an artifact, or forget them. */
  async toggle(name: string): Promise<void> {
    if (this._versions.delete(name)) {
      this.emitChanged();
      return;
    }
    this._versions.set(name, await this.requests.versions(name));
    this.emitChanged();
  }

  async more(): Promise<void> {
    this._length += PAGE;
    await this.refresh();
  }

  async deleteArtifact(name: string): Promise<void> {
    await this.requests.deleteArtifact(name);
    await this.refresh();
  }

  async deleteWorkflow(name: string): Promise<void> {
    await this.requests.deleteWorkflow(name);
    await this.refresh();
  }

  protected async read(): Promise<void> {
    const found: Artifact[] = [];
    let after: string | null = null;
    do {
      const page = await this.requests.artifacts({ filter: this._filter, after, limit: PAGE });
      found.push(...page.artifacts);
      this._total = page.total;
      after = page.next;
    } while (after !== null && found.length < this._length);
    this._next = after;
    this._artifacts = found;
    this._workflows = await this.requests.workflows(this._filter);
    await this._readVersions();
  }

  private async _readVersions(): Promise<void> {
    const names = new Set(this._artifacts.map(artifact => artifact.name));
    for (const name of [...this._versions.keys()]) {
      if (names.has(name)) {
        this._versions.set(name, await this.requests.versions(name));
      } else {
        this._versions.delete(name);
      }
    }
  }

  private readonly _versions = new Map<string, readonly Artifact[]>();
  private _artifacts: readonly Artifact[] = [];
  private _workflows: readonly Workflow[] = [];
  private _total = 0;
  private _next: string | null = null;
  private _filter = '';
  private _length = PAGE;
}
