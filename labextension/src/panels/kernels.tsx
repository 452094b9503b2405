/**
 * Running kernels and sessions, by place.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import {
  closeIcon,
  consoleIcon,
  infoIcon,
  notebookIcon,
  ReactWidget,
  refreshIcon,
  stopIcon,
  undoIcon,
  UseSignal
} from '@jupyterlab/ui-components';
import * as React from 'react';
import { type KernelInfo, type PlaceName, PLACES, type SessionInfo } from '../api';
import { moodIcons } from '../icons';
import { badgeText, duration, limitWords, placeLabel } from '../models/text';
import type { Steering } from '../requests';
import type { ICodeMode } from '../tokens';
import { Failure, IconButton, UsageLine } from './parts';

/** What can be done with a kernel or a session; who shows them carries it out. */
export interface KernelActions {
  interrupt(kernel: KernelInfo): void;
  restart(kernel: KernelInfo): void;
  stop(kernel: KernelInfo): void;
  openConsole(kernel: KernelInfo): void;
  openNotebook(path: string): void;
  showIsolation(kernel: KernelInfo): void;
  steer(session: SessionInfo, what: Steering): void;
  showSessionIsolation(session: SessionInfo): void;
}

interface Shown {
  readonly trans: TranslationBundle;
  readonly actions: KernelActions;
}

function kernelName(kernel: KernelInfo): string {
  const path = kernel.session?.path ?? '';
  const isFile = kernel.session?.type === 'notebook' || kernel.session?.type === 'file';
  return (isFile && path.split('/').pop()) || kernel.session?.name || kernel.display_name;
}

function KernelItem(props: Shown & { kernel: KernelInfo }): React.JSX.Element {
  const { kernel, trans, actions } = props;
  const name = kernelName(kernel);
  const badge = badgeText(kernel, trans);
  const icon = moodIcons[badge.mood];
  const notebook = kernel.session?.type === 'notebook' ? kernel.session.path : null;
  const limits = kernel.limits === null ? [] : limitWords(kernel.limits, trans);
  return (
    <li className="pcm-Item" data-kernel={kernel.id}>
      <div className="pcm-Item-head">
        <bdi className="pcm-Item-name" title={kernel.session?.path ?? kernel.display_name}>
          {name}
        </bdi>
        <span className="pcm-State" data-state={kernel.state}>
          {kernel.state}
        </span>
      </div>
      <div className="pcm-Item-line" title={badge.description}>
        <icon.react
          tag="span"
          aria-hidden="true"
          className={`pcm-mod-${badge.mood}`}
          width="14px"
          height="14px"
        />
        <span>{badge.label}</span>
      </div>
      {kernel.usage === null ? null : <UsageLine usage={kernel.usage} trans={trans} about={name} />}
      {limits.length ? <div className="pcm-Item-line pcm-Limits">{limits.join(' · ')}</div> : null}
      {kernel.refusal ? <p className="pcm-Note pcm-mod-failed">{kernel.refusal}</p> : null}
      {kernel.death === null ? null : (
        <p className="pcm-Note pcm-mod-failed">{kernel.death.reason}</p>
      )}
      <div className="pcm-Actions" role="group" aria-label={trans.__('Actions for %1', name)}>
        {notebook === null ? null : (
          <IconButton
            icon={notebookIcon}
            label={trans.__('Open its notebook')}
            about={name}
            onClick={() => actions.openNotebook(notebook)}
          />
        )}
        <IconButton
          icon={consoleIcon}
          label={trans.__('Open a console')}
          about={name}
          onClick={() => actions.openConsole(kernel)}
        />
        <IconButton
          icon={infoIcon}
          label={trans.__('Show its isolation')}
          about={name}
          onClick={() => actions.showIsolation(kernel)}
        />
        <IconButton
          icon={stopIcon}
          label={trans.__('Interrupt')}
          about={name}
          onClick={() => actions.interrupt(kernel)}
        />
        <IconButton
          icon={refreshIcon}
          label={trans.__('Restart')}
          about={name}
          onClick={() => actions.restart(kernel)}
        />
        <IconButton
          icon={closeIcon}
          label={trans.__('Stop')}
          about={name}
          onClick={() => actions.stop(kernel)}
        />
      </div>
    </li>
  );
}

function SessionItem(props: Shown & { session: SessionInfo }): React.JSX.Element {
  const { session, trans, actions } = props;
  const about = [
    session.owner_what,
    session.runs === null ? '' : trans._n('%1 run', '%1 runs', session.runs),
    session.uptime === null ? '' : trans.__('up %1', duration(session.uptime))
  ];
  const steer = (what: Steering) => (): void => actions.steer(session, what);
  return (
    <li className="pcm-Item" data-session={session.id}>
      <div className="pcm-Item-head">
        <bdi className="pcm-Item-name" title={trans.__('Session of process %1', session.owner_pid)}>
          {session.name}
        </bdi>
        <span className="pcm-State" data-state={session.state}>
          {session.state}
        </span>
      </div>
      <div className="pcm-Item-line">
        <bdi>{about.filter(Boolean).join(' · ')}</bdi>
      </div>
      {session.usage === null ? null : (
        <UsageLine usage={session.usage} trans={trans} about={session.name} />
      )}
      <div className="pcm-Item-line pcm-Limits">
        {limitWords(session.limits, trans).join(' · ')}
      </div>
      <div
        className="pcm-Actions"
        role="group"
        aria-label={trans.__('Actions for %1', session.name)}
      >
        <IconButton
          icon={infoIcon}
          label={trans.__('Show its isolation')}
          about={session.name}
          onClick={() => actions.showSessionIsolation(session)}
        />
        <IconButton
          icon={stopIcon}
          label={trans.__('Interrupt')}
          about={session.name}
          onClick={steer('interrupt')}
        />
        <IconButton
          icon={undoIcon}
          label={trans.__('Forget its variables')}
          about={session.name}
          onClick={steer('reset')}
        />
        <IconButton
          icon={refreshIcon}
          label={trans.__('Restart')}
          about={session.name}
          onClick={steer('restart')}
        />
        <IconButton
          icon={closeIcon}
          label={trans.__('Stop')}
          about={session.name}
          onClick={steer('stop')}
        />
      </div>
    </li>
  );
}

function PlaceGroup(
  props: Shown & { place: PlaceName | null; codeMode: ICodeMode }
): React.JSX.Element | null {
  const { place, codeMode, trans } = props;
  const kernels = codeMode.kernels.kernels.filter(kernel => kernel.place === place);
  const sessions = codeMode.sessions.sessions.filter(session => session.place === place);
  const about = codeMode.places.places.find(one => one.name === place);
  if (kernels.length + sessions.length === 0 && (about === undefined || about.is_available)) {
    return null;
  }
  const title = placeLabel(place, trans);
  return (
    <section className="pcm-Group" aria-label={title} data-place={place ?? 'other'}>
      <h3 className="pcm-Group-title">{title}</h3>
      {about === undefined || about.is_available ? null : (
        <p className="pcm-Note">
          {about.message} {about.remedy}
        </p>
      )}
      <ul className="pcm-List">
        {kernels.map(kernel => (
          <KernelItem key={kernel.id} kernel={kernel} trans={trans} actions={props.actions} />
        ))}
        {sessions.map(session => (
          <SessionItem key={session.id} session={session} trans={trans} actions={props.actions} />
        ))}
      </ul>
    </section>
  );
}

function Body(props: Shown & { codeMode: ICodeMode }): React.JSX.Element {
  const { codeMode, trans } = props;
  const failure = codeMode.places.failure ?? codeMode.kernels.failure ?? codeMode.sessions.failure;
  if (failure !== null && (codeMode.isAvailable === false || !codeMode.kernels.isRead)) {
    return <Failure failure={failure} trans={trans} />;
  }
  const isEmpty = codeMode.kernels.kernels.length + codeMode.sessions.sessions.length === 0;
  return (
    <>
      {failure === null ? null : <Failure failure={failure} trans={trans} />}
      {isEmpty ? <p className="pcm-Note">{trans.__('No kernel or session is running.')}</p> : null}
      {[...PLACES, null].map(place => (
        <PlaceGroup key={place ?? 'other'} {...props} place={place} />
      ))}
    </>
  );
}

/** The section of the side panel that shows what runs. */
export class KernelsPanel extends ReactWidget {
  constructor(
    private readonly _codeMode: ICodeMode,
    private readonly _actions: KernelActions,
    private readonly _trans: TranslationBundle
  ) {
    super();
    this.addClass('pcm-Section');
    this.title.label = _trans.__('Kernels and sessions');
  }

  protected override render(): React.JSX.Element {
    const body = (): React.JSX.Element => (
      <Body codeMode={this._codeMode} actions={this._actions} trans={this._trans} />
    );
    return (
      <UseSignal signal={this._codeMode.availabilityChanged}>
        {() => (
          <UseSignal signal={this._codeMode.places.changed}>
            {() => (
              <UseSignal signal={this._codeMode.kernels.changed}>
                {() => <UseSignal signal={this._codeMode.sessions.changed}>{body}</UseSignal>}
              </UseSignal>
            )}
          </UseSignal>
        )}
      </UseSignal>
    );
  }
}
