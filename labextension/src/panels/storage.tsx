/**
 * The storage as a tree: artifacts with their versions, and workflows.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import {
  addIcon,
  caretDownIcon,
  caretRightIcon,
  closeIcon,
  downloadIcon,
  ReactWidget,
  searchIcon,
  UseSignal
} from '@jupyterlab/ui-components';
import { MimeData } from '@lumino/coreutils';
import { Drag } from '@lumino/dragdrop';
import * as React from 'react';
import type { Artifact, Workflow } from '../api';
import { bytes, loadCode } from '../models/text';
import type { StorageModel } from '../models/storage';
import { Failure, IconButton, Search, When } from './parts';

const CELLS = 'application/vnd.jupyter.cells';
const DRAG_THRESHOLD = 5; // pixels

export interface StorageActions {
  preview(artifact: Artifact, version?: number): void;
  download(artifact: Artifact, version?: number): void;
  deleteArtifact(artifact: Artifact): void;
  insert(code: string): void;
  showWorkflow(workflow: Workflow): void;
  deleteWorkflow(workflow: Workflow): void;
}

interface Shown {
  readonly model: StorageModel;
  readonly actions: StorageActions;
  readonly trans: TranslationBundle;
}

/** Begin to drag code that a notebook takes as a cell. */
function drag(code: string, x: number, y: number): void {
  const mimeData = new MimeData();
  mimeData.setData(CELLS, [
    { cell_type: 'code', source: code, metadata: {}, outputs: [], execution_count: null }
  ]);
  mimeData.setData('text/plain', code);
  const dragImage = document.createElement('div');
  dragImage.className = 'pcm-Drag';
  dragImage.textContent = code;
  const moving = new Drag({
    mimeData,
    dragImage,
    supportedActions: 'copy',
    proposedAction: 'copy'
  });
  void moving.start(x, y).then(() => moving.dispose());
}

/** A handler that drags `code` once the mouse has moved far enough. */
function dragging(code: string): (event: React.MouseEvent) => void {
  return start => {
    if (start.button !== 0) {
      return;
    }
    // Else the page would select what the mouse passes.
    start.preventDefault();
    const stop = (): void => {
      document.removeEventListener('mousemove', move, true);
      document.removeEventListener('mouseup', stop, true);
    };
    const move = (event: MouseEvent): void => {
      if (
        Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) > DRAG_THRESHOLD
      ) {
        stop();
        drag(code, event.clientX, event.clientY);
      }
    };
    document.addEventListener('mousemove', move, true);
    document.addEventListener('mouseup', stop, true);
  };
}

function Buttons(props: Shown & { artifact: Artifact; version?: number }): React.JSX.Element {
  const { artifact, actions, trans } = props;
  const version = props.version === undefined ? [] : ([props.version] as const);
  const about = version.length
    ? trans.__('%1, version %2', artifact.name, version[0])
    : artifact.name;
  return (
    <>
      <IconButton
        icon={searchIcon}
        label={trans.__('Preview')}
        about={about}
        onClick={() => actions.preview(artifact, ...version)}
      />
      <IconButton
        icon={addIcon}
        label={trans.__('Insert into the notebook')}
        about={about}
        onClick={() => actions.insert(loadCode(artifact, ...version))}
      />
      <IconButton
        icon={downloadIcon}
        label={trans.__('Download')}
        about={about}
        onClick={() => actions.download(artifact, ...version)}
      />
    </>
  );
}

function ArtifactItem(props: Shown & { artifact: Artifact }): React.JSX.Element {
  const { artifact, model, actions, trans } = props;
  const versions = model.versions(artifact.name);
  const about = [artifact.summary || artifact.format, bytes(artifact.size)].join(' · ');
  return (
    <li className="pcm-Item" data-artifact={artifact.name}>
      <div className="pcm-Item-head">
        <IconButton
          icon={versions === undefined ? caretRightIcon : caretDownIcon}
          label={trans.__('Versions')}
          about={artifact.name}
          pressed={versions !== undefined}
          onClick={() => void model.toggle(artifact.name)}
        />
        <bdi
          className="pcm-Item-name pcm-mod-draggable"
          title={artifact.description || trans.__('Drag it into a notebook')}
          onMouseDown={dragging(loadCode(artifact))}
        >
          {artifact.name}
        </bdi>
        <span className="pcm-State">v{artifact.version}</span>
      </div>
      <div className="pcm-Item-line">
        <bdi>{about}</bdi>
      </div>
      <div
        className="pcm-Actions"
        role="group"
        aria-label={trans.__('Actions for %1', artifact.name)}
      >
        <Buttons {...props} />
        <IconButton
          icon={closeIcon}
          label={trans.__('Delete')}
          about={artifact.name}
          onClick={() => actions.deleteArtifact(artifact)}
        />
      </div>
      {versions === undefined ? null : (
        <ul className="pcm-List pcm-Versions">
          {versions.map(one => (
            <li key={one.version} className="pcm-Item-head">
              <span className="pcm-Item-name">
                v{one.version} · {bytes(one.size)} · <When iso={one.created} />
              </span>
              <Buttons {...props} artifact={one} version={one.version} />
            </li>
          ))}
        </ul>
      )}
    </li>
  );
}

function WorkflowItem(props: Shown & { workflow: Workflow }): React.JSX.Element {
  const { workflow, actions, trans } = props;
  const call = `workflows.${workflow.name}(${workflow.parameters.map(one => `${one.name}=...`).join(', ')})`;
  return (
    <li className="pcm-Item" data-workflow={workflow.name}>
      <div className="pcm-Item-head">
        <bdi
          className="pcm-Item-name pcm-mod-draggable"
          title={workflow.description}
          onMouseDown={dragging(call)}
        >
          {workflow.name}({workflow.parameters.map(one => one.name).join(', ')})
        </bdi>
        <span className="pcm-State" title={trans.__('Who wrote it')}>
          {workflow.origin}
        </span>
      </div>
      {workflow.description ? (
        <div className="pcm-Item-line">
          <bdi>{workflow.description}</bdi>
        </div>
      ) : null}
      <div
        className="pcm-Actions"
        role="group"
        aria-label={trans.__('Actions for %1', workflow.name)}
      >
        <IconButton
          icon={searchIcon}
          label={trans.__('Show its source')}
          about={workflow.name}
          onClick={() => actions.showWorkflow(workflow)}
        />
        <IconButton
          icon={addIcon}
          label={trans.__('Insert into the notebook')}
          about={workflow.name}
          onClick={() => actions.insert(call)}
        />
        <IconButton
          icon={closeIcon}
          label={trans.__('Delete')}
          about={workflow.name}
          onClick={() => actions.deleteWorkflow(workflow)}
        />
      </div>
    </li>
  );
}

function Body(props: Shown): React.JSX.Element {
  const { model, trans } = props;
  return (
    <>
      <Search
        label={trans.__('Search artifacts and workflows')}
        value={model.filter}
        onSearch={text => void model.setFilter(text)}
      />
      {model.failure === null ? null : <Failure failure={model.failure} trans={trans} />}
      <section className="pcm-Group" aria-label={trans.__('Artifacts')}>
        <h3 className="pcm-Group-title">
          {trans.__('Artifacts')} <span className="pcm-Count">{model.total}</span>
        </h3>
        <ul className="pcm-List">
          {model.artifacts.map(artifact => (
            <ArtifactItem key={artifact.name} {...props} artifact={artifact} />
          ))}
        </ul>
        {model.hasMore ? (
          <button
            type="button"
            className="jp-Button jp-mod-styled"
            onClick={() => void model.more()}
          >
            {trans.__('More')}
          </button>
        ) : null}
      </section>
      <section className="pcm-Group" aria-label={trans.__('Workflows')}>
        <h3 className="pcm-Group-title">
          {trans.__('Workflows')} <span className="pcm-Count">{model.workflows.length}</span>
        </h3>
        <ul className="pcm-List">
          {model.workflows.map(workflow => (
            <WorkflowItem key={workflow.name} {...props} workflow={workflow} />
          ))}
        </ul>
      </section>
    </>
  );
}

/** The section of the side panel that shows what is kept. */
export class StoragePanel extends ReactWidget {
  constructor(
    private readonly _model: StorageModel,
    private readonly _actions: StorageActions,
    private readonly _trans: TranslationBundle
  ) {
    super();
    this.addClass('pcm-Section');
    this.title.label = _trans.__('Storage');
  }

  protected override render(): React.JSX.Element {
    return (
      <UseSignal signal={this._model.changed}>
        {() => <Body model={this._model} actions={this._actions} trans={this._trans} />}
      </UseSignal>
    );
  }
}
