/**
 * The run history, the newest first.
 */
import type { INotebookContent } from '@jupyterlab/nbformat';
import type { Run } from '../api';
import type { Requests } from '../requests';
import { ListModel } from './list';

const PAGE = 50;

export class HistoryModel extends ListModel {
  constructor(private readonly _requests: Requests) {
    super();
  }

  get runs(): readonly Run[] {
    return this._runs;
  }

  get hasMore(): boolean {
    return this._next !== null;
  }

  get search(): string {
    return this._search;
  }

  async setSearch(search: string): Promise<void> {
    this._search = search;
    this._length = PAGE;
    await this.refresh();
  }

  async more(): Promise<void> {
    this._length += PAGE;
    await this.refresh();
  }

  notebookOfRun(id: number): Promise<INotebookContent> {
    return this._requests.runNotebook(id).then(untrusted);
  }

  notebookOfSession(name: string): Promise<INotebookContent> {
    return this._requests.sessionNotebook(name).then(untrusted);
  }

  protected async read(): Promise<void> {
    const found: Run[] = [];
    let before: number | null = null;
    do {
      const page = await this._requests.runs({ search: this._search, before, limit: PAGE });
      found.push(...page.runs);
      before = page.next;
    } while (before !== null && found.length < this._length);
    this._next = before;
    this._runs = found;
  }

  private _runs: readonly Run[] = [];
  private _next: number | null = null;
  private _search = '';
  private _length = PAGE;
}

/** Take away every claim that the user trusts the notebook: its outputs may come from isolated code. */
export function untrusted(notebook: INotebookContent): INotebookContent {
  const cells = notebook.cells.map(cell => {
    const { trusted, ...metadata } = cell.metadata;
    return { ...cell, metadata };
  });
  const { signature, ...metadata } = notebook.metadata;
  return { ...notebook, cells, metadata };
}
