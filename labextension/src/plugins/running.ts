/**
 * Sessions in the built-in panel of what is running. Kernels are there already, and not listed again.
 */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { type IRunningSessions, IRunningSessionManagers } from '@jupyterlab/running';
import { ITranslator, nullTranslator, type TranslationBundle } from '@jupyterlab/translation';
import type { SessionInfo } from '../api';
import { attempt, showSessionIsolation } from '../dialogs';
import { placeIcons } from '../icons';
import { bytes, placeLabel } from '../models/text';
import { ICodeMode } from '../tokens';

function detail(session: SessionInfo, trans: TranslationBundle): string {
  const usage = session.usage;
  const words = [placeLabel(session.place, trans), session.state];
  if (usage !== null) {
    words.push(
      usage.memory_limit === null
        ? bytes(usage.memory)
        : trans.__('%1 of %2', bytes(usage.memory), bytes(usage.memory_limit))
    );
  }
  return words.join(' · ');
}

function item(
  session: SessionInfo,
  codeMode: ICodeMode,
  trans: TranslationBundle
): IRunningSessions.IRunningItem {
  return {
    className: 'pcm-Running',
    icon: () => placeIcons[session.place],
    label: () => session.name,
    labelTitle: () => session.owner_what,
    detail: () => detail(session, trans),
    open: () => void showSessionIsolation(session.id, session.name, codeMode, trans),
    shutdown: () => void attempt(() => codeMode.sessions.steer(session.id, 'stop'), trans)
  };
}

export const running: JupyterFrontEndPlugin<void> = {
  id: 'py-code-mode-jupyter:running',
  description: 'Lists sessions in the panel of what is running.',
  autoStart: true,
  requires: [ICodeMode, IRunningSessionManagers],
  optional: [ITranslator],
  activate: (
    _app: JupyterFrontEnd,
    codeMode: ICodeMode,
    managers: IRunningSessionManagers,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('py_code_mode_jupyter');
    const sessions = codeMode.sessions;
    managers.add({
      name: trans.__('Code Mode Sessions'),
      running: () => sessions.sessions.map(session => item(session, codeMode, trans)),
      shutdownAll: () => {
        for (const session of sessions.sessions) {
          void attempt(() => sessions.steer(session.id, 'stop'), trans);
        }
      },
      refreshRunning: () => {
        if (codeMode.isAvailable === true) {
          void sessions.refresh();
        }
      },
      runningChanged: sessions.changed,
      shutdownLabel: trans.__('Stop'),
      shutdownAllLabel: trans.__('Stop All'),
      shutdownAllConfirmationText: trans.__('Stop all sessions? What they have not stored is lost.')
    });
  }
};
