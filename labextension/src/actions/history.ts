/**
 * What the panel does with runs.
 */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { INotebookContent } from '@jupyterlab/nbformat';
import type { Contents } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { attempt } from '../dialogs';
import type { HistoryModel } from '../models/history';
import type { HistoryActions } from '../panels/history';

/** Write a notebook beside whatever is in the folder; returns its path. */
async function write(
  contents: Contents.IManager,
  folder: string,
  notebook: INotebookContent
): Promise<string> {
  const { path } = await contents.newUntitled({ path: folder, type: 'notebook' });
  await contents.save(path, { type: 'notebook', format: 'json', content: notebook });
  return path;
}

export function historyActions(
  app: JupyterFrontEnd,
  history: HistoryModel,
  folder: () => string,
  trans: TranslationBundle
): HistoryActions {
  async function open(notebook: Promise<INotebookContent>): Promise<void> {
    const path = await write(app.serviceManager.contents, folder(), await notebook);
    await app.commands.execute('docmanager:open', { path });
  }
  return {
    openRun: run => void attempt(() => open(history.notebookOfRun(run.id)), trans),
    openSession: session => void attempt(() => open(history.notebookOfSession(session)), trans)
  };
}
