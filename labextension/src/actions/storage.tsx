/**
 * What the panel does with artifacts and workflows.
 */
import { type INotebookTracker, NotebookActions } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import type { Artifact, Workflow } from '../api';
import { attempt, confirm } from '../dialogs';
import { PreviewBody } from '../panels/preview';
import type { StorageActions } from '../panels/storage';
import type { ICodeMode } from '../tokens';

type Show = (id: string, title: string, body: React.JSX.Element) => void;

const EXTENSIONS: Readonly<Record<string, string>> = {
  json: '.json',
  text: '.txt',
  npy: '.npy',
  parquet: '.parquet',
  png: '.png'
};

/** A name for a file of the user's: the artifact's own may hold what file systems or people misread. */
export function fileName(artifact: Artifact): string {
  const name = artifact.name.replace(/[^\p{L}\p{N}._-]+/gu, '_').replace(/^\.+/, '_');
  const extension = EXTENSIONS[artifact.format] ?? '';
  return name.endsWith(extension) ? name : `${name}${extension}`;
}

function save(blob: Blob, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([blob], { type: 'application/octet-stream' }));
  link.download = name;
  link.click();
  // The browser has taken it by the next turn.
  setTimeout(() => URL.revokeObjectURL(link.href), 0);
}

/** Insert a cell of code below the active one. */
function insert(notebooks: INotebookTracker | null, code: string): void {
  const notebook = notebooks?.currentWidget?.content;
  if (notebook?.model) {
    NotebookActions.insertBelow(notebook);
    notebook.activeCell?.model.sharedModel.setSource(code);
  }
}

export function storageActions(
  codeMode: ICodeMode,
  notebooks: INotebookTracker | null,
  show: Show,
  trans: TranslationBundle
): StorageActions {
  const { storage, requests } = codeMode;

  async function preview(artifact: Artifact, version?: number): Promise<void> {
    const found = await requests.preview(artifact.name, version);
    show('pcm-preview', artifact.name, <PreviewBody preview={found} trans={trans} />);
  }

  async function showWorkflow(workflow: Workflow): Promise<void> {
    const source = await requests.workflowSource(workflow.name);
    const body = (
      <div className="pcm-Preview" tabIndex={0} role="region" aria-label={workflow.name}>
        <p className="pcm-Note">{trans.__('Written in: %1', workflow.origin)}</p>
        <pre className="pcm-Code pcm-mod-whole">{source}</pre>
      </div>
    );
    show('pcm-workflow', workflow.name, body);
  }

  async function remove(name: string, work: () => Promise<void>): Promise<void> {
    const title = trans.__('Delete %1?', name);
    if (await confirm(title, trans.__('All of its versions are deleted.'), trans.__('Delete'))) {
      await attempt(work, trans);
    }
  }

  return {
    preview: (artifact, version) => void attempt(() => preview(artifact, version), trans),
    download: (artifact, version) =>
      void attempt(
        async () => save(await requests.content(artifact.name, version), fileName(artifact)),
        trans
      ),
    deleteArtifact: artifact =>
      void remove(artifact.name, () => storage.deleteArtifact(artifact.name)),
    insert: code => insert(notebooks, code),
    showWorkflow: workflow => void attempt(() => showWorkflow(workflow), trans),
    deleteWorkflow: workflow =>
      void remove(workflow.name, () => storage.deleteWorkflow(workflow.name))
  };
}
