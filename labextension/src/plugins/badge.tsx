/**
 * The badge: where the active notebook's kernel runs, and what was measured of its isolation.
 */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import {
  ICommandPalette,
  type ISessionContext,
  IToolbarWidgetRegistry
} from '@jupyterlab/apputils';
import { ConsolePanel, IConsoleTracker } from '@jupyterlab/console';
import { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator, type TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import { type ISignal, Signal } from '@lumino/signaling';
import * as React from 'react';
import { showKernelIsolation } from '../dialogs';
import { Badge } from '../panels/isolation';
import { CommandIDs, ICodeMode } from '../tokens';

const ID = 'py-code-mode-jupyter:badge';

/** Which kernel a badge speaks of, by whatever it may change. */
class KernelSource {
  constructor(private readonly _find: () => ISessionContext | null) {}

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get id(): string | undefined {
    return this._find()?.session?.kernel?.id;
  }

  /** Look again: another kernel, or another notebook. */
  look(): void {
    this._changed.emit();
  }

  dispose(): void {
    Signal.clearData(this);
  }

  private readonly _changed = new Signal<this, void>(this);
}

class BadgeWidget extends ReactWidget {
  constructor(
    private readonly _source: KernelSource,
    private readonly _codeMode: ICodeMode,
    private readonly _trans: TranslationBundle
  ) {
    super();
    this.addClass('pcm-BadgeWidget');
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this._source.dispose();
    }
    super.dispose();
  }

  protected override render(): React.JSX.Element {
    const codeMode = this._codeMode;
    const badge = (): React.JSX.Element | null => {
      const id = this._source.id;
      // Without the server extension nothing is known, and nothing is claimed.
      return codeMode.isAvailable !== true || id === undefined ? null : (
        <Badge
          kernel={codeMode.kernels.get(id)}
          trans={this._trans}
          onClick={() => void showKernelIsolation(id, codeMode, this._trans)}
        />
      );
    };
    return (
      <UseSignal signal={codeMode.availabilityChanged}>
        {() => (
          <UseSignal signal={this._source.changed}>
            {() => <UseSignal signal={codeMode.kernels.changed}>{badge}</UseSignal>}
          </UseSignal>
        )}
      </UseSignal>
    );
  }
}

function toolbarBadge(
  panel: NotebookPanel,
  codeMode: ICodeMode,
  trans: TranslationBundle
): BadgeWidget {
  const source = new KernelSource(() => panel.sessionContext);
  const look = (): void => source.look();
  panel.sessionContext.kernelChanged.connect(look);
  const badge = new BadgeWidget(source, codeMode, trans);
  badge.disposed.connect(() => panel.sessionContext.kernelChanged.disconnect(look));
  return badge;
}

/** The session of the widget that commands go to. */
function activeSession(
  app: JupyterFrontEnd,
  notebooks: INotebookTracker | null
): ISessionContext | null {
  const current = app.shell.currentWidget;
  if (current instanceof NotebookPanel || current instanceof ConsolePanel) {
    return current.sessionContext;
  }
  return notebooks?.currentWidget?.sessionContext ?? null;
}

export const badge: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: 'Shows place and verified isolation in the notebook toolbar and the status bar.',
  autoStart: true,
  requires: [ICodeMode],
  optional: [
    INotebookTracker,
    IConsoleTracker,
    IToolbarWidgetRegistry,
    IStatusBar,
    ICommandPalette,
    ISettingRegistry,
    ITranslator
  ],
  activate: (
    app: JupyterFrontEnd,
    codeMode: ICodeMode,
    notebooks: INotebookTracker | null,
    consoles: IConsoleTracker | null,
    toolbars: IToolbarWidgetRegistry | null,
    statusBar: IStatusBar | null,
    palette: ICommandPalette | null,
    _registry: ISettingRegistry | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('py_code_mode_jupyter');
    toolbars?.addFactory<NotebookPanel>('Notebook', 'pcm-isolation', panel =>
      toolbarBadge(panel, codeMode, trans)
    );

    const source = new KernelSource(() => activeSession(app, notebooks));
    const look = (): void => source.look();
    const follow = (_sender: unknown, panel: NotebookPanel | ConsolePanel): void => {
      panel.sessionContext.kernelChanged.connect(look);
    };
    notebooks?.widgetAdded.connect(follow);
    consoles?.widgetAdded.connect(follow);
    notebooks?.currentChanged.connect(look);
    consoles?.currentChanged.connect(look);
    app.shell.currentChanged?.connect(look);
    statusBar?.registerStatusItem(ID, {
      item: new BadgeWidget(source, codeMode, trans),
      align: 'left',
      rank: 3,
      isActive: () => source.id !== undefined,
      activeStateChanged: source.changed
    });

    app.commands.addCommand(CommandIDs.showIsolation, {
      label: trans.__('Show Isolation of This Kernel'),
      caption: trans.__('Show what was measured, inside and outside'),
      isEnabled: () => source.id !== undefined && codeMode.isAvailable === true,
      describedBy: { args: { type: 'object', properties: {} } },
      execute: () => showKernelIsolation(source.id, codeMode, trans)
    });
    source.changed.connect(() => app.commands.notifyCommandChanged(CommandIDs.showIsolation));
    palette?.addItem({ command: CommandIDs.showIsolation, category: trans.__('Code Mode') });
  }
};
