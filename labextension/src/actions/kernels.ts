/**
 * What the panel does with kernels and sessions.
 */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { INotebookTracker } from '@jupyterlab/notebook';
import { KernelAPI } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { KernelInfo, SessionInfo } from '../api';
import { attempt, confirm, showKernelIsolation, showSessionIsolation } from '../dialogs';
import type { KernelActions } from '../panels/kernels';
import type { Steering } from '../requests';
import type { ICodeMode } from '../tokens';

export function kernelActions(
  app: JupyterFrontEnd,
  codeMode: ICodeMode,
  notebooks: INotebookTracker | null,
  trans: TranslationBundle
): KernelActions {
  const { serverSettings, kernels } = app.serviceManager;
  const execute = (command: string, args: { [name: string]: string | object }): void =>
    void attempt(() => app.commands.execute(command, args as never), trans);

  async function restart(kernel: KernelInfo): Promise<void> {
    const body = trans.__('Its variables are lost.');
    if (await confirm(trans.__('Restart this kernel?'), body, trans.__('Restart'))) {
      // A notebook that asks itself knows that nothing it waits for will come.
      const open = notebooks?.find(panel => panel.sessionContext.session?.kernel?.id === kernel.id);
      await attempt(
        () =>
          open?.sessionContext.restartKernel() ??
          KernelAPI.restartKernel(kernel.id, serverSettings),
        trans
      );
    }
  }

  async function stop(kernel: KernelInfo): Promise<void> {
    const body = trans.__('Its variables are lost, and its place is removed.');
    if (await confirm(trans.__('Stop this kernel?'), body, trans.__('Stop'))) {
      await attempt(() => kernels.shutdown(kernel.id), trans);
    }
  }

  async function steer(session: SessionInfo, what: Steering): Promise<void> {
    const questions: Record<Exclude<Steering, 'interrupt'>, [string, string]> = {
      reset: [trans.__('Forget the variables of %1?', session.name), trans.__('Forget')],
      restart: [trans.__('Restart session %1?', session.name), trans.__('Restart')],
      stop: [trans.__('Stop session %1?', session.name), trans.__('Stop')]
    };
    if (what !== 'interrupt') {
      const [title, label] = questions[what];
      if (!(await confirm(title, trans.__('Its variables are lost.'), label))) {
        return;
      }
    }
    await attempt(() => codeMode.sessions.steer(session.id, what), trans);
  }

  return {
    interrupt: kernel =>
      void attempt(() => KernelAPI.interruptKernel(kernel.id, serverSettings), trans),
    restart: kernel => void restart(kernel),
    stop: kernel => void stop(kernel),
    openConsole: kernel =>
      execute('console:create', {
        kernelPreference: { id: kernel.id },
        path: kernel.session?.path ?? ''
      }),
    openNotebook: path => execute('docmanager:open', { path }),
    showIsolation: kernel => void showKernelIsolation(kernel.id, codeMode, trans),
    steer: (session, what) => void steer(session, what),
    showSessionIsolation: session =>
      void showSessionIsolation(session.id, session.name, codeMode, trans)
  };
}
