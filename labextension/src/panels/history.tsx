/**
 * The run history, with search.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import { listIcon, notebookIcon, ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import * as React from 'react';
import type { Run } from '../api';
import type { HistoryModel } from '../models/history';
import { duration } from '../models/text';
import { Failure, IconButton, Search, When } from './parts';

export interface HistoryActions {
  openRun(run: Run): void;
  openSession(session: string): void;
}

interface Shown {
  readonly model: HistoryModel;
  readonly actions: HistoryActions;
  readonly trans: TranslationBundle;
}

function RunItem(props: Shown & { run: Run }): React.JSX.Element {
  const { run, actions, trans } = props;
  const about = trans.__('run %1', run.id);
  return (
    <li className="pcm-Item" data-run={run.id}>
      <div className="pcm-Item-head">
        <bdi className="pcm-Item-name">{run.session}</bdi>
        <span className="pcm-State" data-state={run.status}>
          {run.status}
        </span>
      </div>
      <pre className="pcm-Code">{run.code}</pre>
      {run.error ? (
        <div className="pcm-Item-line pcm-mod-failed">{run.error.trim().split('\n').pop()}</div>
      ) : null}
      <div className="pcm-Item-line">
        <When iso={run.started} />
        {run.execution_time === null ? null : <span>{duration(run.execution_time)}</span>}
        <span>{run.executor}</span>
      </div>
      <div className="pcm-Actions" role="group" aria-label={trans.__('Actions for %1', about)}>
        <IconButton
          icon={notebookIcon}
          label={trans.__('Open as notebook')}
          about={about}
          onClick={() => actions.openRun(run)}
        />
        <IconButton
          icon={listIcon}
          label={trans.__('Open all runs of its session as notebook')}
          about={run.session}
          onClick={() => actions.openSession(run.session)}
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
        label={trans.__('Search runs')}
        value={model.search}
        onSearch={text => void model.setSearch(text)}
      />
      {model.failure === null ? null : <Failure failure={model.failure} trans={trans} />}
      {model.isRead && model.runs.length === 0 ? (
        <p className="pcm-Note">
          {model.search
            ? trans.__('No run matches.')
            : trans.__('No session has run anything yet.')}
        </p>
      ) : null}
      <ul className="pcm-List" aria-label={trans.__('Runs')}>
        {model.runs.map(run => (
          <RunItem key={run.id} {...props} run={run} />
        ))}
      </ul>
      {model.hasMore ? (
        <button type="button" className="jp-Button jp-mod-styled" onClick={() => void model.more()}>
          {trans.__('More')}
        </button>
      ) : null}
    </>
  );
}

/** The section of the side panel that shows what was run. */
export class HistoryPanel extends ReactWidget {
  constructor(
    private readonly _model: HistoryModel,
    private readonly _actions: HistoryActions,
    private readonly _trans: TranslationBundle
  ) {
    super();
    this.addClass('pcm-Section');
    this.title.label = _trans.__('Run history');
  }

  protected override render(): React.JSX.Element {
    return (
      <UseSignal signal={this._model.changed}>
        {() => <Body model={this._model} actions={this._actions} trans={this._trans} />}
      </UseSignal>
    );
  }
}
